"""The result of a calibration for a person: five seconds to read, then the detail."""

from graviton_agent.calibration.decision import CaseResult
from graviton_agent.calibration.outcome import Outcome
from graviton_agent.host import Host, Verdict
from graviton_agent.record import OperatorTable, Record
from graviton_agent.report.columns import definitions, paragraph, table
from graviton_agent.torch_build import TorchBuild


def render(record: Record) -> str:
    """The whole report, as text without a final newline."""
    parts = [headline(record.host, record.torch), _times(record), _verdict(record)]
    chosen = [f"  {name}={value}" for name, value in record.decision.environment.items()]
    if chosen:
        parts.append("\n".join(chosen))
    left = [(s.variable, s.reason) for s in record.settings if s.value is None]
    if left:
        parts.append("  left alone\n" + definitions(left, indent="    "))
    refused = [
        (" ".join(f"{n}={v}" for n, v in refusal.environment.items()), refusal.reason)
        for refusal in record.refusals
    ]
    if refused:
        parts.append("  refused\n" + definitions(refused, indent="    "))
    parts.extend(operator_table(found) for found in record.operators)
    parts.append(_what_follows(record))
    return "\n\n".join(part for part in parts if part)


def headline(host: Host, torch: TorchBuild) -> str:
    """The machine and the torch in one line, or two where they don't fit."""
    machine = [
        host.instance_type or host.model_name or host.core or "unknown machine",
        host.product or ("not a Graviton" if host.verdict is Verdict.OTHER else "not known to be a Graviton"),
        f"{len(host.usable_cpus)} CPUs",
        f"THP {host.thp_mode or 'absent'}",
    ]
    onednn = "no oneDNN" if torch.onednn is None else f"oneDNN {torch.onednn}"
    if torch.acl:
        onednn += f" + ACL {torch.acl_version or ''}".rstrip()
    build = [f"torch {torch.version}", onednn, f"{torch.blas_name} {torch.blas_version or ''}".rstrip()]
    line = "   ".join(machine + build)
    return line if len(line) <= 100 else "   ".join(machine) + "\n" + "   ".join(build)


def _times(record: Record) -> str:
    cases = record.decision.cases
    if not cases:
        return ""
    changed = record.decision.outcome is Outcome.CHANGE
    header = ["batch", "default", "chosen", "gain (95 % interval)", "kernel"]
    rows = [
        [
            str(case.batch),
            _milliseconds(case.default_ms),
            _milliseconds(case.chosen_ms) if changed else "default",
            _gain(case.gain, case.gain_interval) if changed else "-",
            _kernel(case, record.torch),
        ]
        for case in cases
    ]
    return table(header, rows, right=frozenset({0, 1, 2}))


def _milliseconds(time: float | None) -> str:
    return "-" if time is None else f"{time:.2f} ms" if time < 10 else f"{time:.1f} ms"


def _gain(gain: float, interval: tuple[float, float]) -> str:
    return f"{gain:.2f}x ({interval[0]:.2f} - {interval[1]:.2f})"


def _kernel(case: CaseResult, torch: TorchBuild) -> str:
    if not case.kernels:
        return f"{torch.blas_name} fp32"
    names = ", ".join(case.kernels)
    if any("bf16" in kernel for kernel in case.kernels) and case.cosine is not None:
        return f"{names}, cosine {case.cosine:.5f}"
    return names


def _verdict(record: Record) -> str:
    decision = record.decision
    match decision.outcome:
        case Outcome.CHANGE:
            gain = _gain(decision.gain, decision.gain_interval)
            words = f"Change: {gain} for the whole mix. {decision.reason}."
        case Outcome.KEEP:
            words = f"Keep the default: {decision.reason}."
        case Outcome.INCONCLUSIVE:
            words = f"Inconclusive, so the default stays: {decision.reason}."
    return paragraph(words, indent="  ")


def operator_table(found: OperatorTable, rows: int = 10) -> str:
    """The costliest operators of one batch under one configuration."""
    total = sum(row.self_ns for row in found.rows) or 1
    words = " ".join(f"{name}={value}" for name, value in found.environment.items()) or "default"
    body = [
        [row.name, f"{100 * row.self_ns / total:.1f} %", f"{row.self_ns / 1e6:.1f} ms", str(row.calls)]
        for row in found.rows[:rows]
    ]
    header = ["operator", "share", "self CPU time", "calls"]
    title = paragraph(f"batch {found.batch}, {words}", indent="  ")
    return f"{title}\n" + table(header, body, right=frozenset({1, 2, 3}))


def _what_follows(record: Record) -> str:
    host = record.host
    trials = len(record.trials)
    lines = [f"{record.seconds:.0f} s, {trials} worker processes, seed {record.seed}"]
    if host.verdict is not Verdict.GRAVITON:
        lines.append(f"Nothing would be written on this machine: {host.reason}")
    return "\n".join(paragraph(line, indent="  ") for line in lines)
