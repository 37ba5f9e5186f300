"""Effective weights of PEFT's layers on one Linear, for `terms.rs`, and PiSSA's residual, for `transfer/tests/methods.rs`.

    pip install peft==0.21.2 torch
    python tests/reference/peft_weights.py

Every parameter number k has the values 0.4 sin(1.7 k + 0.9 i + 0.1), i counting its entries row by row.
"""

import peft.tuners.boft.layer as boft_layer
import torch
from peft import BOFTConfig, IA3Config, LoHaConfig, LoKrConfig, LoraConfig, OFTConfig, VeraConfig, get_peft_model

M, N, R, ALPHA = 16, 8, 2, 3


def values(k, *shape):
    i = torch.arange(torch.Size(shape).numel(), dtype=torch.float64)
    return (0.4 * torch.sin(1.7 * k + 0.9 * i + 0.1)).reshape(shape).float()


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(N, M, bias=False)
        self.layer.weight.data = values(0, M, N)

    def forward(self, x):
        return self.layer(x)


def show(name, config, fill):
    model = get_peft_model(Net(), config)
    layer = model.base_model.model.layer
    fill(layer)
    layer.eval()
    # What the layer computes for the unit vectors is its effective weight.
    with torch.no_grad():
        weight = layer(torch.eye(N)).T
        layer.merge()
        assert torch.allclose(layer.base_layer.weight, weight, atol=1e-6)
    picked = weight.flatten()[::17]
    print(f'("{name}", [{", ".join(f"{v:.7}" for v in picked.tolist())}]),')


def put(parameter, value):
    assert parameter.shape == value.shape, (parameter.shape, value.shape)
    parameter.data = value


def lora(layer):
    put(layer.lora_A["default"].weight, values(1, R, N))
    put(layer.lora_B["default"].weight, values(2, M, R))


def dora(layer):
    lora(layer)
    put(layer.lora_magnitude_vector["default"].weight, values(3, M))


def loha(layer):
    put(layer.hada_w1_b["default"], values(1, R, N))
    put(layer.hada_w1_a["default"], values(2, M, R))
    put(layer.hada_w2_b["default"], values(3, R, N))
    put(layer.hada_w2_a["default"], values(4, M, R))


def lokr(layer):
    put(layer.lokr_w1["default"], values(1, 2, 2))
    put(layer.lokr_w2_b["default"], values(2, R, N // 2))
    put(layer.lokr_w2_a["default"], values(3, M // 2, R))


def oft(layer):
    put(layer.oft_R["default"].weight, values(1, 2, 6))


# Without its CUDA extension PEFT sets the number of BOFT's factors to 1. All that the extension does is this.
class BlockDiagonal:
    @staticmethod
    def apply(blocks):
        return torch.stack([torch.block_diag(*factor) for factor in blocks])


boft_layer.get_fbd_cuda = lambda: True
boft_layer.FastBlockDiag = BlockDiagonal


def boft(layer):
    # Two factors of blocks of 4: the entries above each diagonal are those of the skew-symmetric matrix.
    q = torch.zeros(2, 2, 4, 4)
    above = torch.triu_indices(4, 4, 1)
    q[:, :, above[0], above[1]] = values(1, 2, 2, 6)
    put(layer.boft_R["default"], 2 * q)  # PEFT takes half the difference to the transposed
    put(layer.boft_s["default"], values(2, M, 1))


def ia3(layer):
    put(layer.ia3_l["default"], values(1, *layer.ia3_l["default"].shape))


def vera(layer):
    put(layer.vera_lambda_b["default"], values(1, M))
    put(layer.vera_lambda_d["default"], values(2, R))
    layer.vera_A["default"] = values(3, R, N)
    layer.vera_B["default"] = values(4, M, R)


target = dict(target_modules=["layer"])
show("lora", LoraConfig(r=R, lora_alpha=ALPHA, **target), lora)
show("renorm", LoraConfig(r=R, lora_alpha=ALPHA, use_dora=True, **target), dora)
show("hadamard", LoHaConfig(r=R, alpha=ALPHA, **target), loha)
show("kronecker", LoKrConfig(r=R, alpha=ALPHA, decompose_factor=2, **target), lokr)
show("rotation", OFTConfig(oft_block_size=4, use_cayley_neumann=False, **target), oft)
show("butterfly", BOFTConfig(boft_block_size=4, boft_n_butterfly_factor=2, **target), boft)
show("rows", IA3Config(feedforward_modules=[], **target), ia3)
show("columns", IA3Config(feedforward_modules=["layer"], **target), ia3)
show("frozen", VeraConfig(r=R, **target), vera)

pissa = get_peft_model(Net(), LoraConfig(r=1, lora_alpha=1, init_lora_weights="pissa", **target))
residual = pissa.base_model.model.layer.base_layer.weight
print("pissa", [float(f"{v:.7}") for v in residual.flatten()[::17].tolist()])
