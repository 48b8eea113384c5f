"""The matmul threshold: which products go to oneDNN, and which to the BLAS library."""

from graviton_agent.host import Host
from graviton_agent.settings.setting import Applies, Lever, Proof, Setting
from graviton_agent.torch_build import TorchBuild
from graviton_agent.workload import Workload

HIGHEST_DEFAULT = 8
"""torch's own threshold on Neoverse N1, N2, V1 and V2 [LinearAlgebra.cpp]; 0 on all other cores."""


class MatmulThreshold(Setting):
    """The smallest dimension of a product must exceed it, or the product goes to the BLAS library.

    torch sends a product of (m x k) by (k x n) to oneDNN only if m, k and n are all greater than this value
    and m*k*n exceeds TORCH_MKLDNN_MATMUL_MIN_SIZE; by default 8 and 8192 on Neoverse N1, N2, V1 and V2, and
    0 and 0 elsewhere. It is read at the first product of a process. What is empty or no number counts as 0 in
    torch 2.6 (std::atoi) and breaks every product in torch 2.9 and later (RuntimeError: stoi), so it is only
    ever written as a whole number.

    Below the threshold bf16 fast math is off too: the BLAS library computes in fp32.
    """

    name = "threshold"
    variable = "TORCH_MKLDNN_MATMUL_MIN_DIM"
    title = "matmul threshold"
    lever = Lever.DISPATCH
    proof = Proof.DISPATCH_BITS
    cost = "none: the BLAS library computes in fp32"
    source = "pytorch aten/src/ATen/native/LinearAlgebra.cpp, torch 2.1 and later"

    def applies(self, host: Host, torch: TorchBuild) -> Applies:
        """Needs a build that reads it, and oneDNN to choose against."""
        del host
        if torch.onednn is None:
            return Applies.no("this torch is built without oneDNN, so that every product goes to BLAS")
        if self.marker not in torch.variables:
            return Applies.no("this torch does not read it (torch 2.1 and later do)")
        if torch.machine == "aarch64" and not torch.acl:
            return Applies.no("this torch is built without the Arm Compute Library")
        return Applies.yes("torch reads it at the first product")

    def candidates(self, host: Host, torch: TorchBuild, workload: Workload) -> tuple[str, ...]:
        """The smallest dimensions that occur: every value between two of them is the same configuration.

        Where torch's own threshold may keep a product from oneDNN, also the value below all of them.
        """
        del host, torch
        found = workload.dimensions
        below = (found[0] - 1,) if found[0] <= HIGHEST_DEFAULT else ()
        return tuple(str(dimension) for dimension in (*below, *found))
