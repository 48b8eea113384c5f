"""bf16 fast math: oneDNN computes fp32 products with bf16 instructions."""

from graviton_agent.host import Host
from graviton_agent.settings.setting import Applies, Lever, Proof, Setting
from graviton_agent.torch_build import TorchBuild
from graviton_agent.workload import Workload


class FastMath(Setting):
    """Lets oneDNN round fp32 inputs to bf16 (8 bits of mantissa) and multiply those.

    oneDNN reads ONEDNN_DEFAULT_FPMATH_MODE first and DNNL_DEFAULT_FPMATH_MODE second, once, when torch is
    imported. On Arm only `bf16` and `any` do anything, through the Arm Compute Library; products that go to
    the BLAS library stay in fp32. Without bf16 instructions it is ignored, though oneDNN's log still prints
    attr-fpmath:bf16.
    """

    name = "bf16"
    variable = "DNNL_DEFAULT_FPMATH_MODE"
    aliases = ("ONEDNN_DEFAULT_FPMATH_MODE",)
    title = "bf16 fast math"
    lever = Lever.ENVIRONMENT
    proof = Proof.BF16_BITS
    cost = "accuracy: relative error about 2e-3 in place of 3e-7 for each product"
    source = "oneDNN src/common/fpmath_mode.cpp, src/cpu/aarch64/matmul/acl_matmul_utils.cpp"
    changes_results = True

    @property
    def marker(self) -> str:
        """What oneDNN puts behind either of its prefixes: neither full name stands in the library."""
        return "DEFAULT_FPMATH_MODE"

    def applies(self, host: Host, torch: TorchBuild) -> Applies:
        """Needs oneDNN, and on Arm also the Arm Compute Library and bf16 instructions."""
        if torch.onednn is None:
            return Applies.no("this torch is built without oneDNN")
        if torch.machine == "aarch64":
            if not torch.acl:
                return Applies.no("this torch is built without the Arm Compute Library")
            if host.bf16 is False:
                return Applies.no("this CPU has no bf16 instructions, and oneDNN then stays in fp32")
        return Applies.yes("oneDNN reads it when torch is imported")

    def candidates(self, host: Host, torch: TorchBuild, workload: Workload) -> tuple[str, ...]:
        """BF16 alone: `any` does the same on Arm, and other modes run in fp32 there."""
        del host, torch, workload
        return ("BF16",)
