"""Loads the programs of `images/`: they run inside containers, and are no modules of the project."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

IMAGES = Path(__file__).resolve().parents[3] / "images"


def program(image: str, name: str) -> ModuleType:
    """The program `name` of the image whose context is `images/<image>`."""
    module_name = f"{image.replace('-', '_')}_{name}"
    spec = importlib.util.spec_from_file_location(module_name, IMAGES / image / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look their module up while it is being executed.
    sys.modules[module_name] = module
    spec.loader.exec_module(module)
    return module
