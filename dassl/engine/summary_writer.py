"""tensorboard's SummaryWriter; where it is not installed, one that writes nothing."""

try:
    from torch.utils.tensorboard import SummaryWriter
except ImportError:

    class SummaryWriter:  # type: ignore[no-redef]
        """Takes every call of tensorboard's writer."""

        def __init__(self, log_dir: str | None = None, *args, **kwargs):
            self.log_dir = log_dir

        def __enter__(self):
            return self

        def __exit__(self, *error) -> None:
            pass

        def __getattr__(self, name: str):
            if name.startswith("_"):
                raise AttributeError(name)
            return lambda *args, **kwargs: None


__all__ = ["SummaryWriter"]
