"""The worker runs under Pythons that this test suite does not."""

import ast
import sys

from graviton_agent.calibration.launcher import WORKER

SOURCE = WORKER.read_text()


def test_python_3_8_can_run_it() -> None:
    ast.parse(SOURCE, feature_version=(3, 8))


def test_python_3_6_can_at_least_read_it_and_say_its_version() -> None:
    ast.parse(SOURCE, feature_version=(3, 6))


def test_it_imports_the_standard_library_alone() -> None:
    imported = set()
    for node in ast.walk(ast.parse(SOURCE)):
        if isinstance(node, ast.Import):
            imported |= {alias.name.partition(".")[0] for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0
            imported.add((node.module or "").partition(".")[0])
    assert imported
    assert imported <= sys.stdlib_module_names


def test_nothing_but_sys_is_imported_before_the_agent_s_folder_is_off_the_path() -> None:
    body = ast.parse(SOURCE).body
    guard = next(index for index, node in enumerate(body) if isinstance(node, ast.If))
    before = [node for node in body[:guard] if isinstance(node, ast.Import | ast.ImportFrom)]
    assert [ast.unparse(node) for node in before] == ["import sys"]


def test_it_annotates_nothing_that_python_3_8_would_evaluate_and_refuse() -> None:
    # `list[int]` and `int | None` parse under 3.8, and fail when the function is defined.
    annotations = [
        annotation
        for node in ast.walk(ast.parse(SOURCE))
        for annotation in (
            [node.annotation]
            if isinstance(node, ast.arg | ast.AnnAssign)
            else [node.returns]
            if isinstance(node, ast.FunctionDef)
            else []
        )
        if annotation is not None
    ]
    assert len(annotations) > 50
    for annotation in annotations:
        for node in ast.walk(annotation):
            assert not isinstance(node, ast.BinOp), ast.unparse(annotation)
            if isinstance(node, ast.Subscript):
                assert ast.unparse(node.value)[0].isupper(), ast.unparse(annotation)
