"""A bundle as a folder that MLflow loads and serves, with the code that it needs.

<folder>/MLmodel, requirements.txt, ...    MLflow's own, with the signature
<folder>/data/bundle/<model>/<version>/    the bundle
<folder>/code/models/                      this project's models/, without trained ones
"""

import os
import shutil
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

import models
from models import pyfunc
from models.bundle.loading import Bundle, load_bundle
from models.errors import ConfigError
from models.files import check_new, new_folder

REQUIREMENTS = ("jaxtyping", "numpy", "pillow", "pydantic", "safetensors", "torch")
"""What models/ imports where a bundle is loaded."""
_NOT_COPIED = shutil.ignore_patterns("pretrained", "__pycache__")


def export_mlflow(path: Path, folder: Path) -> Path:
    """Write a bundle as an MLflow model of the flavour python_function.

    Args:
        path: The bundle's folder.
        folder: Folder to write; must not exist.

    Returns:
        The folder, which is written completely or not at all.

    Raises:
        BundleError: The bundle cannot be read.
        ConfigError: The folder exists, or MLflow is not installed.
    """
    save_model = _import_mlflow().save_model
    check_new(folder, flag="--out")
    bundle = load_bundle(path)
    with TemporaryDirectory() as scratch, new_folder(folder) as new:
        data, code = Path(scratch) / "bundle", Path(scratch) / "models"
        shutil.copytree(path, data / bundle.name / str(bundle.version))
        shutil.copytree(Path(models.__file__).parent, code, ignore=_NOT_COPIED)
        save_model(
            str(new),
            loader_module=pyfunc.__name__,
            data_path=str(data),
            code_paths=[str(code)],
            signature=_signature(bundle),
            pip_requirements=[_pinned(name) for name in REQUIREMENTS],
            metadata={"bundle": f"{bundle.name}/{bundle.version}", "bundle_sha256": bundle.digest},
        )
    return folder


def _signature(bundle: Bundle) -> Any:
    """Pixels in, and the parameters of `predict`."""
    from mlflow.models import ModelSignature
    from mlflow.types import ParamSchema, ParamSpec, Schema, TensorSpec

    pixels = TensorSpec(np.dtype(np.uint8), (-1, -1, -1, bundle.config.image.channels))
    types = {str: "string", int: "long"}
    params = [ParamSpec(name, types[type(value)], value) for name, value in pyfunc.DEFAULTS.items()]
    return ModelSignature(inputs=Schema([pixels]), params=ParamSchema(params))


def _pinned(name: str) -> str:
    """The installed version; torch's build, as in 2.6.0+cpu, is left out."""
    return f"{name}=={version(name).partition('+')[0]}"


def _import_mlflow() -> Any:
    """`mlflow.pyfunc`; MLflow reports its use to its makers unless it is told not to before that.

    Raises:
        ConfigError: It is not installed.
    """
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    try:
        return import_module("mlflow.pyfunc")
    except ImportError as error:
        raise ConfigError(
            f"export-mlflow needs the extra mlflow; {error.name} is not installed. Install it: "
            "pip install --constraint constraints.txt --editable '.[mlflow]'"
        ) from error
