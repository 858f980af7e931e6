import pytest
from scipy import stats

from comparison.run_spec import RunSpec
from comparison.runs import Run
from comparison.statistics import Measure, harmonic_mean, p_value, paired_scores


def run(classes, dataset, seed, accuracy):
    return Run(RunSpec("base2new", classes, dataset, "CoOp", "tiny", "", 16, seed), "tiny", accuracy)


def test_spread_is_that_of_cooops_script_and_one_value_has_none():
    assert Measure.of([1.0, 3.0]) == Measure(2.0, 1.0)
    assert Measure.of([5.0]) == Measure(5.0, None)


def test_harmonic_mean_of_nothing_right_is_zero():
    assert harmonic_mean(0, 0) == 0 and harmonic_mean(60, 90) == 72


def test_pairs_of_base_to_new_are_h_and_those_without_a_half_are_left_out():
    runs = [run("base", "digits", 1, 60), run("new", "digits", 1, 90), run("base", "digits", 2, 50)]
    assert paired_scores(runs) == {("digits", 1): 72.0}


def test_the_p_value_is_the_signed_rank_tests_over_common_pairs():
    ours = {("digits", seed): 70 + seed**1.5 for seed in range(8)} | {("letters", 1): 99.0}
    theirs = {("digits", seed): 71 + seed * (-1) ** seed for seed in range(8)} | {("letters", 2): 1.0}
    gains = [ours["digits", seed] - theirs["digits", seed] for seed in range(8)]
    assert p_value(ours, theirs) == pytest.approx(stats.wilcoxon(gains).pvalue)


def test_six_gains_of_six_are_significant_and_five_are_not_tested():
    ours, theirs = ({("digits", seed): 50 + seed + gain * seed for seed in range(1, 7)} for gain in (1, 0))
    assert p_value(ours, theirs) == pytest.approx(2 / 2**6)
    assert p_value({pair: ours[pair] for pair in list(ours)[:5]}, theirs) is None


def test_zero_shot_is_the_same_for_each_seed():
    ours, zero_shot = {("digits", seed): 60.0 + seed for seed in range(1, 7)}, {("digits", None): 50.0}
    assert p_value(ours, zero_shot) == p_value(zero_shot, ours) == pytest.approx(2 / 2**6)


def test_equal_scores_are_no_difference():
    scores = {("digits", seed): 60.0 for seed in range(6)}
    assert p_value(scores, scores) == 1.0
