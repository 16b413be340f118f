"""Exports a UNet of SDXL's shape with random weights: bench/sdxl/export.py FOLDER writes FOLDER/unet.onnx and its weights, and to FOLDER/reference
16 rows of inputs (NAME.npy) and what PyTorch predicts for them, two at a time (noise_pred.npy).

The topology and the module names are those of diffusers' UNet2DConditionModel with SDXL's configuration (2.57 billion weights); nothing of
diffusers is needed. float16 on the GPU; with --tiny a small float32 model of the same topology on the CPU, to try the rest with.
"""
import inspect
import math
import os
import sys

import numpy
import torch
from torch import nn
from torch.nn import functional as F


class Config:
    def __init__(self, tiny):
        self.channels = (32, 64, 128) if tiny else (320, 640, 1280)
        self.depths = (0, 1, 2) if tiny else (0, 2, 10)  # transformer blocks per attention
        self.head, self.context, self.pooled, self.size = (16, 32, 16, 16) if tiny else (64, 2048, 1280, 128)
        self.time_ids = 8 if tiny else 256  # width of the embedding of one of the six ids
        self.embedding = 4 * self.channels[0]


def sinusoids(t, width):
    frequencies = torch.exp(-math.log(10000) * torch.arange(width // 2, dtype=torch.float32, device=t.device) / (width // 2))
    angles = t.float()[:, None] * frequencies
    return torch.cat([angles.cos(), angles.sin()], -1)


class Embedding(nn.Module):
    def __init__(self, width, out):
        super().__init__()
        self.linear_1, self.linear_2 = nn.Linear(width, out), nn.Linear(out, out)

    def forward(self, x):
        return self.linear_2(F.silu(self.linear_1(x)))


class Resnet(nn.Module):
    def __init__(self, c, width, out):
        super().__init__()
        self.norm1, self.conv1 = nn.GroupNorm(32, width), nn.Conv2d(width, out, 3, padding=1)
        self.time_emb_proj = nn.Linear(c.embedding, out)
        self.norm2, self.conv2 = nn.GroupNorm(32, out), nn.Conv2d(out, out, 3, padding=1)
        self.conv_shortcut = nn.Conv2d(width, out, 1) if width != out else None

    def forward(self, x, emb):
        h = self.conv1(F.silu(self.norm1(x)))
        h = h + self.time_emb_proj(F.silu(emb))[:, :, None, None]
        h = self.conv2(F.silu(self.norm2(h)))
        return (x if self.conv_shortcut is None else self.conv_shortcut(x)) + h


class Attention(nn.Module):
    def __init__(self, width, context, head):
        super().__init__()
        self.head = head
        self.to_q, self.to_k, self.to_v = (nn.Linear(n, width, bias=False) for n in (width, context, context))
        self.to_out = nn.ModuleList([nn.Linear(width, width)])

    def forward(self, x, context):
        q, k, v = (self.heads(p(y)) for p, y in ((self.to_q, x), (self.to_k, context), (self.to_v, context)))
        # The factor goes to the smaller operand.
        weights = torch.softmax((q * self.head ** -0.5) @ k.transpose(-1, -2), -1)
        return self.to_out[0]((weights @ v).transpose(1, 2).reshape(-1, int(x.shape[1]), int(x.shape[2])))

    def heads(self, x):
        return x.reshape(-1, int(x.shape[1]), int(x.shape[2]) // self.head, self.head).transpose(1, 2)


class Geglu(nn.Module):
    def __init__(self, width, out):
        super().__init__()
        self.proj = nn.Linear(width, 2 * out)

    def forward(self, x):
        value, gate = self.proj(x).chunk(2, -1)
        return value * F.gelu(gate)


class FeedForward(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.net = nn.ModuleList([Geglu(width, 4 * width), nn.Identity(), nn.Linear(4 * width, width)])

    def forward(self, x):
        return self.net[2](self.net[0](x))


class TransformerBlock(nn.Module):
    def __init__(self, c, width):
        super().__init__()
        self.norm1, self.attn1 = nn.LayerNorm(width), Attention(width, width, c.head)
        self.norm2, self.attn2 = nn.LayerNorm(width), Attention(width, c.context, c.head)
        self.norm3, self.ff = nn.LayerNorm(width), FeedForward(width)

    def forward(self, x, context):
        y = self.norm1(x)
        x = x + self.attn1(y, y)
        x = x + self.attn2(self.norm2(x), context)
        return x + self.ff(self.norm3(x))


class Transformer(nn.Module):
    def __init__(self, c, width, depth):
        super().__init__()
        self.norm = nn.GroupNorm(32, width)
        self.proj_in, self.proj_out = nn.Linear(width, width), nn.Linear(width, width)
        self.transformer_blocks = nn.ModuleList(TransformerBlock(c, width) for _ in range(depth))

    def forward(self, x, context):
        width, height, length = (int(n) for n in x.shape[1:])
        h = self.proj_in(self.norm(x).permute(0, 2, 3, 1).reshape(-1, height * length, width))
        for block in self.transformer_blocks:
            h = block(h, context)
        return x + self.proj_out(h).reshape(-1, height, length, width).permute(0, 3, 1, 2)


class Downsample(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, stride=2, padding=1)

    def forward(self, x):
        return self.conv(x)


class Upsample(Downsample):
    def __init__(self, width):
        super().__init__(width)
        self.conv = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x):
        return self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))


class Down(nn.Module):
    def __init__(self, c, width, out, depth, last):
        super().__init__()
        self.resnets = nn.ModuleList(Resnet(c, n, out) for n in (width, out))
        self.attentions = nn.ModuleList(Transformer(c, out, depth) for _ in range(2 if depth else 0))
        self.downsamplers = nn.ModuleList([] if last else [Downsample(out)])

    def forward(self, x, emb, context, skips):
        for i, resnet in enumerate(self.resnets):
            x = resnet(x, emb)
            if len(self.attentions):
                x = self.attentions[i](x, context)
            skips.append(x)
        for down in self.downsamplers:
            x = down(x)
            skips.append(x)
        return x


class Mid(nn.Module):
    def __init__(self, c, width, depth):
        super().__init__()
        self.resnets = nn.ModuleList(Resnet(c, width, width) for _ in range(2))
        self.attentions = nn.ModuleList([Transformer(c, width, depth)])

    def forward(self, x, emb, context):
        return self.resnets[1](self.attentions[0](self.resnets[0](x, emb), context), emb)


class Up(nn.Module):
    def __init__(self, c, widths, skips, out, depth, last):
        super().__init__()
        self.resnets = nn.ModuleList(Resnet(c, w + s, out) for w, s in zip(widths, skips))
        self.attentions = nn.ModuleList(Transformer(c, out, depth) for _ in range(3 if depth else 0))
        self.upsamplers = nn.ModuleList([] if last else [Upsample(out)])

    def forward(self, x, emb, context, skips):
        for i, resnet in enumerate(self.resnets):
            x = resnet(torch.cat([x, skips.pop()], 1), emb)
            if len(self.attentions):
                x = self.attentions[i](x, context)
        for up in self.upsamplers:
            x = up(x)
        return x


class Unet(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.c, (a, b, d) = c, c.channels
        self.time_embedding = Embedding(a, c.embedding)
        self.add_embedding = Embedding(c.pooled + 6 * c.time_ids, c.embedding)
        self.conv_in = nn.Conv2d(4, a, 3, padding=1)
        self.down_blocks = nn.ModuleList([Down(c, a, a, c.depths[0], False), Down(c, a, b, c.depths[1], False), Down(c, b, d, c.depths[2], True)])
        self.mid_block = Mid(c, d, c.depths[2])
        self.up_blocks = nn.ModuleList([
            Up(c, (d, d, d), (d, d, b), d, c.depths[2], False),
            Up(c, (d, b, b), (b, b, a), b, c.depths[1], False),
            Up(c, (b, a, a), (a, a, a), a, c.depths[0], True)])
        self.conv_norm_out, self.conv_out = nn.GroupNorm(32, a), nn.Conv2d(a, 4, 3, padding=1)

    def forward(self, sample, timestep, encoder_hidden_states, text_embeds, time_ids):
        c = self.c
        emb = self.time_embedding(sinusoids(timestep, c.channels[0]).to(sample.dtype))
        ids = sinusoids(time_ids.reshape(-1), c.time_ids).reshape(-1, 6 * c.time_ids).to(sample.dtype)
        emb = emb + self.add_embedding(torch.cat([text_embeds, ids], -1))
        x = self.conv_in(sample)
        skips = [x]
        for block in self.down_blocks:
            x = block(x, emb, encoder_hidden_states, skips)
        x = self.mid_block(x, emb, encoder_hidden_states)
        for block in self.up_blocks:
            x = block(x, emb, encoder_hidden_states, skips)
        return self.conv_out(F.silu(self.conv_norm_out(x)))


def main(folder, *flags):
    tiny, cpu = "--tiny" in flags, "--cpu" in flags
    device, dtype = ("cpu", torch.float32) if cpu else ("cuda", torch.float16)
    c = Config(tiny)
    torch.manual_seed(0)
    torch.set_default_dtype(dtype)
    with torch.device(device):
        unet = Unet(c).eval()
        rows = 16
        inputs = {
            "sample": torch.randn(rows, 4, c.size, c.size), "timestep": torch.full((rows,), 500.0, dtype=torch.float32), "encoder_hidden_states": torch.randn(rows, 77, c.context),
            "text_embeds": torch.randn(rows, c.pooled), "time_ids": torch.full((rows, 6), 8.0 * c.size, dtype=dtype),
        }
    print(sum(p.numel() for p in unet.parameters()) / 1e6, "million weights", flush=True)
    # The TorchScript exporter, which writes module paths into node names.
    exporter = {"dynamo": False} if "dynamo" in inspect.signature(torch.onnx.export).parameters else {}
    with torch.no_grad():
        prediction = torch.cat([unet(*(x[i:i + 2] for x in inputs.values())) for i in range(0, rows, 2)])
        print("standard deviation of the prediction", prediction.float().std().item(), flush=True)
        os.makedirs(f"{folder}/reference", exist_ok=True)
        for name, value in [*inputs.items(), ("noise_pred", prediction)]:
            numpy.save(f"{folder}/reference/{name}.npy", value.cpu().numpy())
        torch.onnx.export(
            unet, tuple(x[:2] for x in inputs.values()), f"{folder}/unet.onnx", input_names=list(inputs), output_names=["noise_pred"], opset_version=17,
            dynamic_axes={name: {0: "batch"} for name in [*inputs, "noise_pred"]}, **exporter)


main(*sys.argv[1:])
