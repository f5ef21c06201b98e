/** One installation whose operator can be killed at any point of any object, and is started again. */
import { writeFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { build } from 'esbuild';
import type { OperatorCommand } from '../support/operator.ts';
import { PLAN_FILE, POINTS_FILE, readPoints, writePlan, type CrashPlan, type PassedPoint } from './crash-plan.ts';
import { RegistrationCalls } from './registration-calls.ts';
import { startFaultWorld, type FaultWorld } from './world.ts';

/** Longest token life, seconds; with the propagation of five it is the shortest drain. */
const accessTokenTTL = 3;

export interface CrashWorld extends FaultWorld {
  /** What the operator, the one that runs and the next ones, is to do from now on. */
  plan(plan: Omit<CrashPlan, 'id'>): Promise<string>;
  /** Under that plan, in order. */
  points(plan: string): Promise<PassedPoint[]>;
  /** Again, after it died. */
  start(): Promise<void>;
  /** After a case that failed: nothing is held, and the operator runs. */
  revive(): Promise<void>;
  readonly calls: RegistrationCalls;
  /** Whether the server replaces a registration access token on update. Default not: then no answer that is lost loses it. */
  rotatesTokens: boolean;
  /** Different for each. */
  nextName(prefix: string): string;
}

/** In one file it starts in a third of the time. */
async function bundled(outfile: string): Promise<OperatorCommand> {
  await build({
    entryPoints: [resolve(import.meta.dirname, 'crashing-operator.ts')],
    outfile,
    bundle: true,
    platform: 'node',
    format: 'esm',
    logLevel: 'warning',
    // CommonJS packages ask for Node's own modules by require().
    banner: { js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);" },
  });
  return () => Promise.resolve({ file: process.execPath, args: [outfile] });
}

export async function startCrashWorld(): Promise<CrashWorld> {
  let rotatesTokens = false;
  const options = { accessTokenTTL, rotateRegistrationAccessToken: () => rotatesTokens };
  let plans = 0;
  let names = 0;
  const faults = await startFaultWorld({
    installation: options,
    clients: { recovery: 'Recreate', deletion: ['Delete', 'Orphan'], withdrawalGracePeriod: '2s' },
    async startOperator(installation) {
      const inDir = (name: string) => resolve(installation.plane.dir, name);
      await writePlan(inDir('plan.json'), { id: '0', mode: 'wait', halts: [] });
      await writeFile(inDir('points.jsonl'), '');
      const command = await bundled(inDir('crashing-operator.mjs'));
      return () =>
        installation.startOperator(
          {
            [PLAN_FILE]: inDir('plan.json'),
            [POINTS_FILE]: inDir('points.jsonl'),
            // Whoever is held keeps its worker.
            CERTBOUND_WORKERS: '256',
          },
          command,
        );
    },
  });
  const { installation } = faults;
  const inDir = (name: string) => resolve(installation.plane.dir, name);
  const world: CrashWorld = {
    ...faults,
    calls: new RegistrationCalls(installation.authorizationServer),
    get rotatesTokens() {
      return rotatesTokens;
    },
    set rotatesTokens(value) {
      rotatesTokens = value;
    },
    async plan(plan) {
      const id = String(++plans);
      await writePlan(inDir('plan.json'), { ...plan, id });
      return id;
    },
    points: async (plan) => (await readPoints(inDir('points.jsonl'))).filter((point) => point.plan === plan),
    async start() {
      world.operator = await faults.restart();
    },
    async revive() {
      await world.plan({ mode: 'wait', halts: [] });
      world.proxy.endInjections();
      world.calls.release();
      await world.operator.stop();
      await world.start();
    },
    nextName: (prefix) => `${prefix}-${++names}`,
  };
  return world;
}
