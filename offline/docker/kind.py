"""What the stand-in knows of a resource type: how its inputs behave, and who acts on it."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from offline.aws.check import Failure
from offline.docker.engine import Engine

Props = dict[str, Any]


@dataclass(frozen=True, kw_only=True, eq=False)
class Kind:
    """A resource type. The sets name inputs and outputs as on the wire (camelCase).

    Attributes:
        token: e.g. `docker:index/network:Network`.
        declaration: file and class of the SDK that declare its inputs.
        create: makes it; returns its id and what the engine reports of it.
        read: returns what the engine reports of it now, None when it is gone.
        delete: removes it; one that is gone already is fine.
        update: changes it in place; gets the id and the new inputs.
        rules: yields what is wrong with inputs that have the declared types.
        same: compares the inputs that have an equality of their own, state first.
        replacing: inputs whose change makes another object of it.
        updating: inputs whose change `update` acts on.
        recorded: inputs whose change needs no act now: they tell the provider what to do another time.
        computed: inputs that the engine fills in when the program leaves them out.
        outputs: what only the engine can tell.
        defaults: what the provider itself puts in for inputs that the program leaves out.
        ordered: lists whose order matters; all others are sets.
        refused: paths of inputs that the stand-in does not cover (`mounts.bindOptions`), refused by name.
        is_named: whether the provider makes up a `name` when the program gives none.
        delete_first: whether a replacement always deletes the old object before it makes the new one.
    """

    token: str
    declaration: tuple[str, str]
    create: Callable[[Engine, Props], tuple[str, Props]]
    read: Callable[[Engine, str, Props], Props | None]
    delete: Callable[[Engine, str, Props], None]
    update: Callable[[Engine, str, Props], None] = lambda *_: None
    rules: Callable[[Props], Iterator[Failure]] = lambda _: iter(())
    same: Mapping[str, Callable[[Any, Any], bool]] = field(default_factory=dict)
    replacing: frozenset[str]
    updating: frozenset[str] = frozenset()
    recorded: frozenset[str] = frozenset()
    computed: frozenset[str] = frozenset()
    outputs: frozenset[str] = frozenset()
    defaults: Mapping[str, Any] = field(default_factory=dict)
    ordered: frozenset[str] = frozenset()
    refused: frozenset[str] = frozenset()
    is_named: bool = True
    delete_first: bool = False
