"""Records of calibrations of every kind of ending, made by a scripted laboratory."""

import math
from typing import Any

from graviton_agent.calibration.calibrate import calibrate
from graviton_agent.calibration.journal import Journal
from graviton_agent.calibration.plan import make_plan
from graviton_agent.calibration.rules import Rules
from graviton_agent.calibration.trial import Configuration, Operator
from graviton_agent.record import OperatorTable, Record, make_partial_record, make_record
from graviton_agent.workload import make_workload
from tests.scripted_laboratory import BF16, ScriptedLaboratory, observation
from tests.simulator.builds import TORCH_2_9_1
from tests.simulator.dispatch import Machine
from tests.simulator.hosts import host_of

MACHINE = Machine(3, 4, "madvise", TORCH_2_9_1)
HOST = host_of(MACHINE)
RULES = Rules()
WORKLOAD = make_workload(batches="10:0.25,256:0.75")


def record_of(laboratory: ScriptedLaboratory, **more: Any) -> Record:
    """The record of a calibration in a laboratory."""
    journal = Journal(laboratory, RULES.budget_seconds)
    plan = make_plan(HOST, TORCH_2_9_1, WORKLOAD, forbidden=frozenset({"threads"}), seed=5)
    found = calibrate(journal, plan, RULES)
    return make_record(HOST, TORCH_2_9_1, WORKLOAD, RULES, seed=5, found=found, journal=journal, **more)


def changed() -> Record:
    """bf16 is twice as fast; it is chosen, and an operator table is there."""
    table = OperatorTable(environment={}, batch=10, rows=(Operator("aten::addmm", 300, 900, 1000),))
    return record_of(
        ScriptedLaboratory(
            WORKLOAD, ms=lambda c, _path, _batch: 50.0 if BF16.variables[0] in c.variables else 100.0
        ),
        operators=(table,),
    )


def failed() -> Record:
    """bf16 gives what is no number."""
    laboratory = ScriptedLaboratory(WORKLOAD)
    laboratory.observed = lambda configuration: observation(
        configuration,
        WORKLOAD,
        error=math.inf if BF16.variables[0] in configuration.variables else None,
    )
    return record_of(laboratory)


def crashed() -> Record:
    """Every lever crashes."""

    def fails(configuration: Configuration, _command: str, _turn: int) -> str | None:
        return "killed by SIGKILL, perhaps for memory" if configuration.variables else None

    return record_of(ScriptedLaboratory(WORKLOAD, fails=fails))


def partial() -> Record:
    """An interrupted calibration."""
    return make_partial_record(
        HOST,
        TORCH_2_9_1,
        WORKLOAD,
        RULES,
        seed=5,
        reason="interrupted",
        journal=Journal(ScriptedLaboratory(WORKLOAD), 9.0),
    )
