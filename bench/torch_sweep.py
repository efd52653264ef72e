"""The PyTorch sides of sweep.ts, on LLaMA-shaped models in transformers.

`hooked`: one hooked forward pass of transformers per variant, over all items at once.
`expert`: the algorithm of the sweep as an expert writes it in PyTorch: base runs once, then all heads of
all items as rows of one matrix through the MLPs, attention frozen.

Reads JSON lines, answers each with one line.
"""
import json
import sys
import time

import torch
import torch.nn.functional as F
from transformers import AutoModelForCausalLM

torch.set_grad_enabled(False)


class Side:
    def open(self, folder, dtype, threads, reference, counterfactual, answers):
        torch.set_num_threads(threads)
        self.model = AutoModelForCausalLM.from_pretrained(
            folder, dtype={"f32": torch.float32, "bf16": torch.bfloat16}[dtype], attn_implementation="sdpa"
        ).eval()
        self.layers = self.model.model.layers
        self.heads = self.model.config.num_attention_heads
        self.width = self.model.config.hidden_size // self.heads
        self.reference = torch.tensor(reference)
        self.counterfactual = torch.tensor(counterfactual)
        self.answers = torch.tensor(answers)
        self.eps = self.model.config.rms_norm_eps
        return {"torch": torch.__version__}

    def read(self, hidden, full):
        """Logits of the last position, or of the answer only; hidden is after the final norm."""
        if full:
            return self.model.lm_head(hidden)
        return (hidden * self.model.lm_head.weight[self.answers]).sum(-1)

    def last(self, full):
        """One forward pass of X_r with whatever hooks are set."""
        return self.read(self.model.model(self.reference, use_cache=False).last_hidden_state[:, -1], full)

    def capture(self, tokens):
        """z, attention's output and the stream that enters each layer."""
        z, attn, resid = [], [], []
        hooks = []
        for layer in self.layers:
            o = layer.self_attn.o_proj
            hooks.append(o.register_forward_pre_hook(lambda _, a: z.append(a[0])))
            hooks.append(o.register_forward_hook(lambda _, __, out: attn.append(out)))
            hooks.append(layer.register_forward_pre_hook(lambda _, a: resid.append(a[0])))
        hidden = self.model.model(tokens, use_cache=False).last_hidden_state
        for hook in hooks:
            hook.remove()
        return z, attn, resid, hidden

    # One hooked forward pass a variant.

    def with_hooks(self, hooks, run):
        handles = [register(hook) for register, hook in hooks]
        result = run()
        for handle in handles:
            handle.remove()
        return result

    def z_hook(self, layer, change):
        """change(z) edits a copy of what o_proj reads."""

        def hook(_, args):
            z = args[0].clone()
            change(z)
            return (z,)

        return (self.layers[layer].self_attn.o_proj.register_forward_pre_hook, hook)

    def part(self, head):
        return slice(head * self.width, (head + 1) * self.width)

    def frozen(self, z_ref, sender, z_cf, at):
        """Every z held at X_r, the sender's at the given positions set to X_c's."""
        hooks = []
        for l in range(len(self.layers)):

            def change(z, l=l):
                z.copy_(z_ref[l])
                if l == sender[0]:
                    z[:, at, self.part(sender[1])] = z_cf[l][:, at, self.part(sender[1])]

            hooks.append(self.z_hook(l, change))
        return hooks

    def hooked_paths(self, senders, full):
        z_ref, z_cf = self.capture(self.reference)[0], self.capture(self.counterfactual)[0]
        end = self.reference.shape[1] - 1
        return [
            self.with_hooks(self.frozen(z_ref, s, z_cf, [end]), lambda: self.last(full)) for s in senders
        ]

    def hooked_activation(self, variants, full):
        z_cf = self.capture(self.counterfactual)[0]
        results = []
        for layer, head, position in variants:

            def change(z):
                z[:, position, self.part(head)] = z_cf[layer][:, position, self.part(head)]

            results.append(self.with_hooks([self.z_hook(layer, change)], lambda: self.last(full)))
        return results

    def hooked_receivers(self, senders, receivers, everywhere, full):
        """One recording pass a sender for all receivers, then one with their inputs overwritten."""
        z_ref, z_cf = self.capture(self.reference)[0], self.capture(self.counterfactual)[0]
        length = self.reference.shape[1]
        at = list(range(length)) if everywhere else [length - 1]
        wanted = {}
        for kind, layer, head in receivers:
            wanted.setdefault((layer, kind), []).append(head)
        results = []
        for sender in senders:
            seen = {}
            hooks = self.frozen(z_ref, sender, z_cf, at)
            for layer in {layer for layer, _ in wanted}:

                def record(_, args, layer=layer):
                    seen[layer] = args[0][:, at]

                hooks.append((self.layers[layer].register_forward_pre_hook, record))
            self.with_hooks(hooks, lambda: self.model.model(self.reference, use_cache=False))
            hooks = []
            for (layer, kind), heads in wanted.items():
                norm = self.layers[layer].input_layernorm
                projection = getattr(self.layers[layer].self_attn, kind + "_proj")
                own = F.linear(norm(seen[layer]), projection.weight)

                def overwrite(_, __, out, own=own, heads=heads):
                    out = out.clone()
                    for head in heads:
                        out[:, at, self.part(head)] = own[:, :, self.part(head)]
                    return out

                hooks.append((projection.register_forward_hook, overwrite))
            results.append(self.with_hooks(hooks, lambda: self.last(full)))
        return results

    # The END-row algorithm.

    def expert_paths(self, full):
        z_ref, attn_ref, resid_ref, hidden = self.capture(self.reference)
        z_cf = self.capture(self.counterfactual)[0]
        items, width = len(self.reference), self.model.config.hidden_size
        each = self.heads * items
        x = torch.empty(len(self.layers) * each, width, dtype=hidden.dtype)
        rows = 0
        for l, layer in enumerate(self.layers):
            attn = attn_ref[l][:, -1]
            if rows:
                x[:rows].view(-1, items, width).add_(attn)
            delta = (z_cf[l][:, -1] - z_ref[l][:, -1]).view(items, self.heads, self.width).transpose(0, 1)
            o = layer.self_attn.o_proj.weight.view(width, self.heads, self.width).permute(1, 2, 0)
            fresh = x[rows : rows + each].view(self.heads, items, width)
            torch.baddbmm((resid_ref[l][:, -1] + attn).expand(self.heads, -1, -1), delta, o, out=fresh)
            rows += each
            mlp = layer.mlp
            normed = F.rms_norm(x[:rows], (width,), layer.post_attention_layernorm.weight, self.eps)
            gate = F.silu(F.linear(normed, mlp.gate_proj.weight), inplace=True)
            gate.mul_(F.linear(normed, mlp.up_proj.weight))
            x[:rows].addmm_(gate, mlp.down_proj.weight.t())
        normed = F.rms_norm(x, (width,), self.model.model.norm.weight, self.eps)
        if full:
            return self.model.lm_head(normed)
        return (normed.view(-1, items, width) * self.model.lm_head.weight[self.answers]).sum(-1)


side = Side()


def answer(request):
    do = request.pop("do")
    show = request.pop("show", False)
    start = time.perf_counter()
    result = getattr(side, do)(**request)
    seconds = time.perf_counter() - start
    if do == "open":
        return result
    if not show:
        return {"seconds": seconds}
    if isinstance(result, list):
        result = torch.stack(result)
    return {"seconds": seconds, "values": result.float().flatten().tolist()}


for line in sys.stdin:
    print(json.dumps(answer(json.loads(line))), flush=True)
