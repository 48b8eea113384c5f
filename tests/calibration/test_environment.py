import pytest

from graviton_agent.calibration.environment import (
    MAX_PADDING,
    PADDING_VARIABLE,
    aliases,
    worker_environment,
)
from graviton_agent.calibration.trial import DEFAULT, Configuration

LEAKS = (
    "ATEN_CPU_CAPABILITY",
    "DNNL_DEFAULT_FPMATH_MODE",
    "GLIBC_TUNABLES",
    "GOMP_CPU_AFFINITY",
    "GOTO_NUM_THREADS",
    "KMP_AFFINITY",
    "LD_PRELOAD",
    "LRU_CACHE_CAPACITY",
    "MALLOC_ARENA_MAX",
    "MIMALLOC_ALLOW_THP",
    "MKL_NUM_THREADS",
    "NVPL_BLAS_VERBOSE",
    "OMP_WAIT_POLICY",
    "ONEDNN_VERBOSE",
    "OPENBLAS_CORETYPE",
    "THP_MEM_ALLOC_ENABLE",
    "TORCHINDUCTOR_FREEZING",
    "TORCH_MKLDNN_MATMUL_MIN_DIM",
)


@pytest.mark.parametrize("variable", LEAKS)
def test_a_variable_that_a_shell_exports_does_not_reach_a_trial(variable: str) -> None:
    assert variable not in worker_environment({variable: "1"}, {}, DEFAULT)


@pytest.mark.parametrize("variable", LEAKS)
def test_a_variable_of_the_unit_itself_stays(variable: str) -> None:
    assert worker_environment({variable: "shell"}, {variable: "unit"}, DEFAULT)[variable] == "unit"


@pytest.mark.parametrize("variable", ["HOME", "LD_LIBRARY_PATH", "PATH", "PYTHONPATH", "VIRTUAL_ENV"])
def test_what_torch_is_found_by_stays(variable: str) -> None:
    assert worker_environment({variable: "/x"}, {}, DEFAULT)[variable] == "/x"


@pytest.mark.parametrize("variable", ["LISTEN_FDS", "NOTIFY_SOCKET", "WATCHDOG_USEC"])
def test_what_the_service_manager_gave_to_the_agent_stays_with_the_agent(variable: str) -> None:
    assert variable not in worker_environment({variable: "1"}, {}, DEFAULT)


def test_the_configuration_replaces_a_held_value() -> None:
    tried = Configuration.of({"OMP_NUM_THREADS": "2"})
    assert worker_environment({}, {"OMP_NUM_THREADS": "8"}, tried)["OMP_NUM_THREADS"] == "2"


@pytest.mark.parametrize(
    ("held", "tried"),
    [
        ("ONEDNN_DEFAULT_FPMATH_MODE", "DNNL_DEFAULT_FPMATH_MODE"),
        ("DNNL_DEFAULT_FPMATH_MODE", "ONEDNN_DEFAULT_FPMATH_MODE"),
    ],
)
def test_an_alias_that_would_win_over_the_configuration_is_dropped(held: str, tried: str) -> None:
    environment = worker_environment({}, {held: "strict"}, Configuration.of({tried: "BF16"}))
    assert (environment.get(held), environment[tried]) == (None, "BF16")


def test_only_onednn_has_two_prefixes() -> None:
    assert (aliases("ONEDNN_VERBOSE"), aliases("OMP_NUM_THREADS")) == (("DNNL_VERBOSE",), ())


def test_an_empty_value_is_never_handed_on() -> None:
    with pytest.raises(ValueError, match="TORCH_MKLDNN_MATMUL_MIN_DIM must not be empty"):
        worker_environment({}, {}, Configuration.of({"TORCH_MKLDNN_MATMUL_MIN_DIM": ""}))


def test_no_bytecode_is_written() -> None:
    assert worker_environment({}, {}, DEFAULT)["PYTHONDONTWRITEBYTECODE"] == "1"


def test_the_padding_moves_the_size_of_the_environment() -> None:
    assert len(worker_environment({}, {}, DEFAULT, padding=MAX_PADDING)[PADDING_VARIABLE]) == MAX_PADDING
