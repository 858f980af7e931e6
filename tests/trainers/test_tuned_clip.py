"""What all prompt methods share: the forward pass, cached text features, checkpoints of others, precision."""

import pytest
import torch
from yacs.config import CfgNode

import clip
import trainers
from clip.model import convert_weights
from dassl.engine import TRAINER_REGISTRY
from support.checkpoint_files import find_checkpoint
from support.user_error import UserError
from tests.golden_cases import tuned_clip
from tests.seeded_weights import seeded_images, seeded_state_dict
from tests.tuned_models import FEW_LAYERS
from trainers import cocoop, coop, mudpt
from trainers.checkpoints import LEARNED, check_fits, load_folder
from trainers.class_prompts import class_text, template_text
from trainers.frozen_clip import usable_precision
from trainers.method import Task
from trainers.options import PRECISIONS
from trainers.tuned_clip import TunedCLIP

NAMES = ["dog", "golden_retriever", "jeep"]


@pytest.fixture(scope="module")
def backbone():
    return clip.build_model(seeded_state_dict("vit")).requires_grad_(False)


def learner(module, backbone, **options):
    return module.PromptLearner(module.PromptLearner.Config(**options), Task(NAMES), backbone)


@pytest.fixture
def model(backbone):
    return TunedCLIP(backbone, learner(mudpt, backbone, DEEP_PROMPT_DEPTH=3)).eval()


@pytest.fixture
def encoded(model, monkeypatch):
    """Counts how often the class texts are encoded."""
    calls = []
    encode = model.encode_text
    monkeypatch.setattr(model, "encode_text", lambda prompts: calls.append(1) or encode(prompts))
    return calls


def test_text_features_are_encoded_once_per_test_run(model, encoded):
    images = seeded_images("vit", 4)
    with torch.no_grad():
        together = model(images)
        apart = torch.cat([model(images[:2]), model(images[2:])])
    assert len(encoded) == 1
    torch.testing.assert_close(together, apart)


@pytest.mark.parametrize("change", ["in place", "loaded"])
def test_changed_prompts_are_encoded_again(model, encoded, change):
    images = seeded_images("vit", 2)
    with torch.no_grad():
        before = model(images)
        if change == "in place":
            model.method.ctx.add_(torch.randn(4, 64))
        else:
            tensors = model.method.state_dict()
            model.method.load_state_dict({k: v + torch.randn_like(v) for k, v in tensors.items()})
        after = model(images)
    assert len(encoded) == 2
    assert not torch.allclose(before, after)


def test_a_test_does_not_read_what_mixed_precision_left_in_the_cache():
    trained, tested = (tuned_clip("VPT", NAMES).eval() for _ in range(2))
    tested.method.load_state_dict(trained.method.state_dict())
    images = seeded_images("vit", 2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        trained(images)
    with torch.no_grad():
        assert torch.equal(trained(images), tested(images))


def test_training_never_reads_the_cache(model, encoded):
    images = seeded_images("vit", 2)
    with torch.no_grad():
        model(images)
    model.method.train()
    model(images).sum().backward()
    assert model.method.ctx.grad.abs().sum() > 0
    assert len(encoded) == 2


def test_gradients_can_be_asked_for_in_evaluation_mode(model):
    with torch.no_grad():
        model(seeded_images("vit", 2))
    model(seeded_images("vit", 2)).sum().backward()
    assert model.method.ctx.grad.abs().sum() > 0


def test_chunked_training_gives_the_same_gradients(backbone):
    gradients = []
    for chunk_classes in (0, 1):
        torch.manual_seed(0)
        method = learner(mudpt, backbone)
        TunedCLIP(backbone, method, chunk_classes)(seeded_images("vit", 2)).square().sum().backward()
        gradients.append(torch.cat([p.grad.flatten() for p in method.parameters()]))
    assert (gradients[1] - gradients[0]).norm() <= 1e-4 * gradients[0].norm()


@pytest.mark.parametrize("words", ["a photo of a ", " a  photo of_a", "a_photo_of_a"])
def test_spaces_between_words_do_not_count(words, backbone):
    got, wanted = (learner(coop, backbone, CTX_INIT=init) for init in (words, "a photo of a"))
    assert torch.equal(got.ctx, wanted.ctx)
    assert torch.equal(got.class_text.own, wanted.class_text.own)


def test_blank_words_are_no_words(backbone):
    assert len(learner(coop, backbone, CTX_INIT=" ", N_CTX=3).ctx) == 3


def test_only_the_learner_is_trained(model):
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert trained and all(name.startswith("method.") for name in trained)


PROMPTS = "CoOp CoCoOp MuDPT VPT IVLP MaPLe KgCoOp ProGrad PromptSRC TCP MMA MMRL CLIP_LoRA".split()


@pytest.mark.parametrize("name", PROMPTS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float16, 0.2), (torch.bfloat16, 1.0)], ids=str)
def test_half_precision_encoders_leave_prompts_gradients_and_logits_in_float32(name, dtype, tolerance):
    torch.manual_seed(0)
    model = tuned_clip(name, NAMES, **FEW_LAYERS.get(name, {}))
    model.method.eval()
    images = seeded_images("vit", 2)
    with torch.no_grad():
        wanted = model(images)
    convert_weights(model.clip, dtype)
    assert model.clip.dtype == dtype
    logits = model(images)
    assert logits.dtype == torch.float32
    assert (logits - wanted).abs().max() < tolerance  # logits reach 100
    torch.nn.functional.cross_entropy(logits, torch.tensor([0, 1])).backward()
    for parameter in model.method.parameters():
        if parameter.numel():  # shallow prompts leave deep ones empty
            assert parameter.dtype == parameter.grad.dtype == torch.float32 and parameter.grad.isfinite().all()


@pytest.mark.parametrize("name", PROMPTS)
def test_automatic_mixed_precision_trains_float32_prompts(name):
    torch.manual_seed(0)
    model = tuned_clip(name, NAMES, **FEW_LAYERS.get(name, {}))
    model.method.eval()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = torch.nn.functional.cross_entropy(model(seeded_images("vit", 2)), torch.tensor([0, 1]))
    loss.backward()
    for parameter in model.method.parameters():
        if parameter.numel():
            assert parameter.grad.dtype == torch.float32 and parameter.grad.isfinite().all()


@pytest.mark.parametrize("module", [coop, cocoop], ids=["CoOp", "CoCoOp"])
def test_upstream_checkpoints_load_for_any_list_of_classes(module, backbone, tmp_path):
    """CoOp's own trainers save the token embeddings of their class names beside what they learned, maybe in float16."""
    method = learner(module, backbone, N_CTX=4)
    saved = {name: torch.randn_like(tensor).half() for name, tensor in method.state_dict().items()}
    buffers = {"token_prefix": torch.zeros(7, 1, 64), "token_suffix": torch.zeros(7, 72, 64)}
    (tmp_path / LEARNED).mkdir()
    checkpoint = {"state_dict": {**saved, **buffers}, "epoch": 5, "optimizer": None, "val_result": None}
    torch.save(checkpoint, tmp_path / LEARNED / "model.pth.tar-5")
    assert load_folder(method, str(tmp_path), backbone, epoch=5).epoch == 5
    for name, tensor in method.state_dict().items():
        assert tensor.dtype == torch.float32
        torch.testing.assert_close(tensor, saved[name].float())


def test_the_best_model_is_found_first_then_the_last(tmp_path):
    with pytest.raises(UserError, match="train first"):
        find_checkpoint(str(tmp_path), [LEARNED], None)
    folder = tmp_path / LEARNED
    folder.mkdir()
    (folder / "checkpoint").write_text("model.pth.tar-7\n")
    (folder / "model.pth.tar-7").touch()
    assert find_checkpoint(str(tmp_path), [LEARNED], None).endswith("model.pth.tar-7")
    (folder / "model-best.pth.tar").touch()
    assert find_checkpoint(str(tmp_path), [LEARNED], None).endswith("model-best.pth.tar")
    with pytest.raises(UserError, match="model.pth.tar-3"):
        find_checkpoint(str(tmp_path), [LEARNED], 3)


@pytest.mark.parametrize(
    ("learned", "message"),
    [
        ({}, "has no ctx"),
        ({"ctx": torch.zeros(4, 64), "extra": torch.zeros(1)}, "unknown extra"),
        ({"ctx": torch.zeros(4, 512)}, r"\(4, 512\).*\(4, 64\).*another backbone"),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_told_in_one_line(learned, message):
    with pytest.raises(UserError, match=message):
        check_fits(learned, {"ctx": torch.zeros(4, 64)}, "some/file")


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_gpu_computes_in_the_precision_asked_for(precision, backbone):
    options = coop.PromptLearner.Config(PREC=precision)
    assert usable_precision(options, backbone, torch.device("cuda")) == precision


def test_a_template_without_a_place_for_the_name_is_refused():
    with pytest.raises(UserError, match="no {}"):
        template_text(NAMES, "a photo.")


def test_an_unknown_class_token_position_is_refused():
    with pytest.raises(UserError, match="end, middle, front"):
        class_text(NAMES, n_ctx=4, position="start")


def test_every_method_brings_its_own_node():
    cfg = CfgNode({"TRAINER": CfgNode()})
    trainers.add_config(cfg)
    for name in PROMPTS:
        node = TRAINER_REGISTRY.get(name).Method.Config.node
        assert cfg.TRAINER[node].PREC == {"VPT": "fp32", "MMA": "amp"}.get(name, "fp16")  # as released


def test_coops_nodes_are_those_of_our_own_files():
    """They stay where CoOp's trainer files stand in the place of ours."""
    for module in (coop, cocoop):
        assert trainers.COOP_NODES[module.PromptLearner.Config.node] == module.PromptLearner.Config.defaults()
