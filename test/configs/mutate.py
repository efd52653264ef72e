"""Changes every key of every fixture's config.json, one at a time, and records what transformers does.

    python mutate.py OUT [FIXTURE...]

For each case it writes OUT/FIXTURE/N/config.json (the weights are linked) and, in OUT/FIXTURE/cases.json,
the key, the value, and either the error or the place of the logits in OUT/FIXTURE/logits.safetensors.
compare.test.ts then demands that the engine does the same, or refuses. Keys are those of both
spellings of the fixture's config, of the family's config class, and of all other fixtures.
"""

import copy
import json
import os
import sys
import warnings
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.utils import logging

warnings.filterwarnings("ignore")
logging.set_verbosity_error()
logging.disable_progress_bar()
torch.set_num_threads(1)

FIXTURES = Path(__file__).resolve().parent.parent / "fixtures"
ABSENT = object()
# Bookkeeping that transformers itself reads in order to find the class.
SKIPPED = {"architectures", "model_type", "transformers_version", "auto_map", "_name_or_path"}
# Neighbours of a string that mean something.
STRINGS = {
    "hidden_act": ["relu", "gelu_new", "gelu"], "hidden_activation": ["relu", "gelu", None],
    "activation_function": ["relu", "gelu", "silu"], "rope_type": ["linear", "dynamic", "yarn"],
    "type": ["linear", "dynamic"], "torch_dtype": ["bfloat16"], "dtype": ["bfloat16"],
}
# Plausible values of keys that are null or missing.
GUESSES = [True, 1, 3, 0.5]


def values(key, value):
    """Other values for a key that has this one."""
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int):
        return [value + 1, value * 2, 1, None]
    if isinstance(value, float):
        return [value * 1.5, value + 1.0, None]
    if isinstance(value, str):
        return STRINGS.get(key, ["other"])
    if isinstance(value, list):
        changed = [v for v in (value[:-1], value[::-1]) if v != value]
        if value and isinstance(value[0], str):
            changed += [[other] * len(value) for other in sorted(set(value))]
            changed += [["full_attention"] * len(value), ["sliding_attention"] * len(value)]
        return changed
    if value is None or value is ABSENT:
        return GUESSES
    return []


def cases_of(config, extra):
    """(path of the key, config with it changed)"""
    def change(path, value):
        changed = copy.deepcopy(config)
        at = changed
        for key in path[:-1]:
            at = at[key]
        if value is ABSENT:
            del at[path[-1]]
        else:
            at[path[-1]] = value
        return path, changed

    for key, value in config.items():
        if key in SKIPPED:
            continue
        yield change((key,), ABSENT)
        for other in values(key, value):
            yield change((key,), other)
        if isinstance(value, dict):
            for inner, v in value.items():
                yield change((key, inner), ABSENT)
                for other in values(inner, v):
                    yield change((key, inner), other)
            for inner in ("factor", "attention_factor", "beta_fast", "mscale", "truncate",
                          "partial_rotary_factor", "original_max_position_embeddings"):
                if inner not in value:
                    yield change((key, inner), 2.0 if inner == "factor" else 0.5)
    for key in sorted(extra - set(config) - SKIPPED):
        for value in GUESSES:
            yield change((key,), value)


def logits_of(folder, ids):
    model = AutoModelForCausalLM.from_pretrained(
        folder, attn_implementation="eager", dtype=torch.float32).eval()
    with torch.no_grad():
        return model(input_ids=ids, use_cache=False).logits


def run(name, out, all_keys):
    source, target = FIXTURES / name, out / name
    target.mkdir(parents=True, exist_ok=True)
    ids = load_file(source / "golden.safetensors")["input_ids"][:1]
    known = set(AutoConfig.from_pretrained(source).to_dict())
    cases, logits = [], {}
    seen = set()
    for spelling in ("config.json", "config_v4.json"):
        if not (source / spelling).exists():
            continue
        config = json.loads((source / spelling).read_text())
        for path, changed in [(("none",), config), *cases_of(config, known | all_keys)]:
            text = json.dumps(changed, indent=1)
            if text in seen:
                continue
            seen.add(text)
            number = str(len(cases))
            folder = target / number
            folder.mkdir(exist_ok=True)
            (folder / "config.json").write_text(text)
            link = folder / "model.safetensors"
            if not link.exists():
                os.symlink(source / "model.safetensors", link)
            value = changed
            for key in path:
                value = value.get(key, "(absent)") if isinstance(value, dict) else "(absent)"
            case = {"number": number, "spelling": spelling, "key": ".".join(path), "value": value}
            try:
                logits[number] = logits_of(folder, ids).contiguous()
                case["runs"] = True
            except Exception as error:  # whatever transformers says
                case["error"] = f"{type(error).__name__}: {error}"[:200]
            cases.append(case)
    save_file(logits, target / "logits.safetensors")
    result = {"ids": ids[0].tolist(), "cases": cases}
    (target / "cases.json").write_text(json.dumps(result, indent=1))
    print(name, len(cases), "cases,", len(logits), "run", flush=True)


def main():
    out = Path(sys.argv[1])
    every = sorted(p.name for p in FIXTURES.iterdir() if (p / "golden.safetensors").exists())
    keys = set()
    for name in every:
        for spelling in FIXTURES.joinpath(name).glob("config*.json"):
            keys |= set(json.loads(spelling.read_text()))
    for name in sys.argv[2:] or every:
        run(name, out, keys)


if __name__ == "__main__":
    main()
