/** The operator as it is, but that it dies where a file says, and tells in another every point that it passes. */
import { readConfig } from '../../src/config.ts';
import { startOperator } from '../../src/operator.ts';
import type { StepObserver } from '../../src/runtime/pass.ts';
import { createLogger } from '../../src/telemetry.ts';
import { PLAN_FILE, POINTS_FILE, readPlan, tellPoint, type Halt, type PassedPoint } from './crash-plan.ts';

type When = PassedPoint['when'];

class Script implements StepObserver {
  readonly #planFile: string;
  readonly #pointsFile: string;
  #plan = '';
  #counts = new Map<string, number>();

  constructor(planFile: string, pointsFile: string) {
    this.#planFile = planFile;
    this.#pointsFile = pointsFile;
  }

  before(kind: string, step: string, key: string): void | Promise<void> {
    return this.#pass(kind, key, { step, when: 'before' });
  }

  after(kind: string, step: string, key: string): void | Promise<void> {
    return this.#pass(kind, key, { step, when: 'after' });
  }

  #pass(kind: string, key: string, at: { step: string; when: When }): void | Promise<void> {
    const plan = readPlan(this.#planFile);
    if (plan.id !== this.#plan) this.#counts.clear();
    this.#plan = plan.id;
    const ordinal = this.#count(`${kind} ${key}`);
    const nth = this.#count(`${kind} ${key} ${at.step} ${at.when}`);
    const here = (halt: Halt): boolean => {
      if (halt.kind !== kind || halt.key !== key) return false;
      if (halt.at === undefined) return halt.nth === ordinal;
      return halt.at.step === at.step && halt.at.when === at.when && halt.nth === nth;
    };
    const halted = plan.halts.some(here);
    tellPoint(this.#pointsFile, { kind, key, ...at, nth, ordinal, plan: plan.id, halted, at: Date.now() });
    if (!halted) return;
    if (plan.mode === 'die') process.kill(process.pid, 'SIGKILL');
    return new Promise(() => undefined);
  }

  #count(what: string): number {
    const count = (this.#counts.get(what) ?? 0) + 1;
    this.#counts.set(what, count);
    return count;
  }
}

const config = readConfig(process.env);
const logger = createLogger({ level: config.logLevel });
const { [PLAN_FILE]: planFile, [POINTS_FILE]: pointsFile } = process.env;
if (planFile === undefined || pointsFile === undefined) throw new Error(`set ${PLAN_FILE} and ${POINTS_FILE}`);
const operator = await startOperator(
  config,
  logger,
  (why) => {
    logger.fatal({ err: why }, 'lease lost');
    process.exit(75);
  },
  // Whoever is held keeps its worker.
  { observer: new Script(planFile, pointsFile), platformWorkers: 64 },
);
process.once('SIGTERM', () => {
  operator.stop().then(
    () => process.exit(0),
    () => process.exit(70),
  );
});
