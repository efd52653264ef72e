/** The whole job in one folder: identify, validate, analyse, tune, evaluate, report. */
import { join } from "node:path";
import { renderReportFile } from "@keyheads/report";
import { KeyheadsError } from "../../errors.ts";
import type { Model } from "../../model.ts";
import type { RunResult } from "../../results.ts";
import { hashFile, hashModel, type Manifest, newManifest } from "../../run/manifest.ts";
import { runExperiment } from "../../run/run-experiment.ts";
import { RunFolder, refuseRunFolder } from "../../run/run-folder.ts";
import { readTemplates } from "../../tasks/templates.ts";
import type { Cli } from "../cli.ts";
import { defineCommand, option } from "../command.ts";
import { toFailure } from "../exit-code.ts";
import { force, modelOptions, seed, strict } from "../options.ts";
import { planRun } from "../plan-run.ts";
import { peakBytes, withModel } from "../session.ts";
import { runText } from "../show/run.ts";
import { flag, list, text } from "../values.ts";

export const command = defineCommand({
  name: "run",
  summary: "the whole job: identify, validate, analyse, tune, evaluate, report",
  argument: { usage: "<model>", help: "Hugging Face folder or bundled model" },
  examples: [
    "run mathgpt_add3_h4_l4 --out runs/demo",
    "run ./my-model --task add,sub --out runs/add",
    "run ./my-model --items my-items.jsonl --out runs/mine",
  ],
  options: {
    ...modelOptions,
    task: option(
      "--task <names>",
      "built-in tasks such as add,sub (default: the model's own, else add)",
      list("names of tasks such as add,sub").optional(),
    ),
    items: option("--items <file>", "an items file instead of tasks", text().optional()),
    templates: option(
      "--templates <file>",
      "wordings to use instead of the built-in ones (docs/tasks.md)",
      text().optional(),
    ),
    out: option("--out <folder>", "where everything goes", text().optional()),
    resume: option("--resume <folder>", "go on with an interrupted run", text().optional()),
    skipTuning: option("--skip-tuning", "leave the tuning out", flag().default(false)),
    seed,
    strict,
    force,
  },
  async run(values, cli) {
    const path = outputOf(values);
    if (values.items !== undefined && values.task !== undefined) {
      throw new KeyheadsError("USAGE", "--items and --task exclude each other; give one of them");
    }
    if (values.resume === undefined) refuseRunFolder(path, values.force);
    const tasks = values.task?.split(",").map((name) => name.trim());
    const templates =
      values.templates === undefined ? undefined : await readTemplates(values.templates);
    return withModel(values, cli, {
      plan: (blueprint) => planRun(blueprint, { ...values, tasks }, cli),
      async compute(model) {
        const manifest = await manifestOf(model, values, tasks);
        const folder =
          values.resume === undefined
            ? await RunFolder.create(path, manifest, values.force)
            : await RunFolder.resume(path, manifest);
        const result = await recorded(folder, cli, async () => {
          using stages = cli.stages();
          const result = await runExperiment(model, {
            ...(tasks && { task: tasks }),
            ...(values.items !== undefined && { items: values.items }),
            ...(templates && { templates }),
            strict: values.strict,
            seed: values.seed,
            tune: !values.skipTuning,
            out: path,
            stage: folder.stage,
            signal: cli.signal,
            onStage: stages.onStage,
            onProgress: stages.onProgress,
          });
          await save(folder, result);
          return result;
        });
        const files = { out: path, report: join(path, "report.html") };
        return { data: { ...summary(result), ...files }, text: () => runText(result, files) };
      },
    });
  },
});

interface RunValues {
  readonly out: string | undefined;
  readonly resume: string | undefined;
  readonly items: string | undefined;
  readonly templates: string | undefined;
  readonly skipTuning: boolean;
  readonly seed: number;
}

function outputOf({ out, resume }: RunValues): string {
  if (out !== undefined && resume !== undefined && out !== resume) {
    throw new KeyheadsError("USAGE", "--resume names the folder of the run; leave --out out");
  }
  const path = resume ?? out;
  if (path !== undefined) return path;
  throw new KeyheadsError("USAGE", "--out <folder> is required");
}

async function manifestOf(
  model: Model,
  { items, templates, skipTuning, seed }: RunValues,
  tasks: readonly string[] | undefined,
): Promise<Manifest> {
  const { folder, device, tf32, dtype } = model;
  return newManifest({
    model: { folder, files: await hashModel(folder) },
    ...(items !== undefined && { items: await hashFile(items) }),
    ...(templates !== undefined && { templates: await hashFile(templates) }),
    ...(tasks && { tasks }),
    seed,
    tune: !skipTuning,
    device,
    ...(tf32 && { tf32 }),
    dtype,
  });
}

/** Writes in the manifest how the run ended. */
async function recorded<T>(folder: RunFolder, cli: Cli, run: () => Promise<T>): Promise<T> {
  try {
    const result = await run();
    await folder.end("finished", { peakBytes: peakBytes() });
    return result;
  } catch (error) {
    const { code, message } = toFailure(error);
    const status = code === "CANCELLED" ? "interrupted" : "failed";
    await folder.end(status, { peakBytes: peakBytes(), error: message }).catch(() => {
      cli.note(`${folder.path}/manifest.json could not be brought up to date`);
    });
    if (status === "interrupted") cli.note(`go on with --resume ${folder.path}`);
    throw error;
  }
}

/** The report shows what results.json says, so it is made from that. */
async function save(folder: RunFolder, result: RunResult): Promise<void> {
  const json = JSON.stringify(result);
  await folder.write("results.json", `${json}\n`);
  await folder.write("report.html", renderReportFile(JSON.parse(json)));
}

/** results.json has everything; this is what a script asks first. */
function summary({ experiments, claims, tuning, timings }: RunResult) {
  return {
    experiments: experiments.map(({ name, direct }) => ({
      name,
      items: direct.items.used,
      keyHeads: direct.keyHeads,
      keyMlps: direct.keyMlps,
    })),
    verdict: tuning?.verdict ?? null,
    claims: claims.map(({ claim, verdict }) => ({ claim, verdict })),
    timings,
  };
}
