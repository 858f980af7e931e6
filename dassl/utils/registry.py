"""Names for classes, so that a config file can choose one."""

from collections.abc import Callable

from .errors import ConfigError
from .tools import check_availability


class Registry:
    """Maps the names of classes or functions to themselves.

    Use ``@REGISTRY.register()`` as a decorator, or ``REGISTRY.register(obj)`` as a call.

    Args:
        name: what the registry holds, for its messages, such as "TRAINER".
    """

    def __init__(self, name: str):
        self._name = name
        self._objects: dict[str, Callable] = {}

    def register(self, obj: Callable | None = None, force: bool = False) -> Callable:
        """Register ``obj`` under its ``__name__``; ``force`` lets it take the place of another.

        Raises:
            UserError: the name is taken.
        """
        if obj is None:
            return lambda decorated: self.register(decorated, force)
        name = obj.__name__
        if name in self._objects and not force:
            first = self._objects[name].__module__
            raise ConfigError(
                f'{self._name.lower()} "{name}" is defined twice, in {first} and in {obj.__module__}: '
                "rename or remove one"
            )
        self._objects[name] = obj
        return obj

    def get(self, name: str) -> Callable:
        """Return what is registered under ``name``.

        Raises:
            UnknownNameError: nothing is.
        """
        check_availability(name, self.registered_names(), self._name.lower())
        return self._objects[name]

    def registered_names(self) -> list[str]:
        return list(self._objects)
