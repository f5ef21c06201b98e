import type { AuthorizationServer } from '../api/authorization-server.ts';
import type { ClientCertificateIssuer } from '../api/client-certificate-issuer.ts';
import type { GrantedNamespace } from '../api/namespace-grant.ts';
import type { KubeClient } from '../kube/client.ts';
import { type EventRecorder, type RecordedEvent, referenceTo } from '../kube/event-recorder.ts';
import type { Informer } from '../kube/informer.ts';
import type { KindUnion } from '../kube/kind-union.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Check, Kind, View } from '../runtime/pass.ts';
import type { Logger } from '../telemetry.ts';
import type { BundleProjection } from './bundle.ts';
import { checks } from './checks.ts';
import { type Desired, desired, differingKeys, writtenOut } from './desired.ts';
import type { ClassProjection } from './frontends/class.ts';
import type { CompanionProjection } from './companion.ts';
import { type Frontend, frontendName, frontendResources } from './frontends/frontend.ts';
import { TerminatorMemory } from './memory.ts';
import type { Member, Observed } from './observed.ts';
import type { ProofSubject } from './proof/proofs.ts';
import type { ProofResults } from './proof/results.ts';
import { proofRules } from './rules/proof-rules.ts';
import type { Problem } from './rules/rule.ts';
import { inEffect, judge } from './rules/rules.ts';
import type { Route } from './routes/route.ts';
import { parseScopeKey, scopeKey } from './scope.ts';
import { runStep, type TerminatorStep } from './steps.ts';
import type { Source } from './sources.ts';
import { TerminatorViews } from './views.ts';

export interface TerminatorKindOptions {
  client: KubeClient;
  /** By kind. */
  frontends: KindUnion<Frontend>;
  /** By kind. */
  routes: KindUnion<Route>;
  ingressClasses: Informer<ClassProjection>;
  gatewayClasses?: Informer<ClassProjection> | undefined;
  /** Objects of `BUNDLE_SELECTOR`, by kind. */
  bundles: KindUnion<BundleProjection>;
  /** Objects of `COMPANION_SELECTOR`, by kind. */
  companions: KindUnion<CompanionProjection>;
  /** Names of the drivers that are switched on. */
  drivers: ReadonlySet<string>;
  /** Controllers whose terminators the platform configures by hand. */
  manualControllers?: ReadonlySet<string>;
  servers: Informer<AuthorizationServer>;
  issuers: Informer<ClientCertificateIssuer>;
  namespaces: Source<GrantedNamespace>;
  recorder: EventRecorder;
  clock: Clock;
  logger: Logger;
}

/**
 * Client authentication at the cluster's TLS terminators, keyed by scope (`<controller>|<host>`). Results are Events on
 * the frontends; there is no status of ours on an object that is not ours. To be made before the informers start.
 */
export class TerminatorKind implements Kind<Observed, Desired, TerminatorStep> {
  readonly name = 'Terminator';
  readonly checks: readonly Check<View<Observed, Desired>, TerminatorStep>[] = checks;
  /** What an OAuthClient's rotation asks. */
  readonly views: TerminatorViews;
  readonly #options: TerminatorKindOptions;
  readonly #memory = new TerminatorMemory();
  /** What each frontend of a scope was last told, by uid. */
  readonly #told = new Map<string, Map<string, string[]>>();
  /** Frontends that were told what a live connection showed, by uid. */
  readonly #disproved = new Set<string>();

  constructor(options: TerminatorKindOptions) {
    this.#options = options;
    this.views = new TerminatorViews(options, this.#memory);
    options.frontends.onChange(({ type, previous }) => {
      if (type !== 'deleted' || previous === undefined) return;
      this.#memory.forgetFrontend(previous.uid);
      this.#disproved.delete(previous.uid);
    });
  }

  /** What live connections have shown; whoever asks terminators writes it there. */
  get proofs(): ProofResults {
    return this.#memory.proofs;
  }

  /** What of a scope (`<controller>|<host>`) a live connection can show. */
  proofSubject(key: string): ProofSubject | undefined {
    return this.views.proofSubject(parseScopeKey(key), this.#options.clock.now());
  }

  keysForFrontend(frontend: Frontend): string[] {
    return this.views.affected.byFrontend(frontend);
  }

  keysForRoute(route: Route): string[] {
    return this.views.affected.byRoute(route);
  }

  keysForServer(name: string): string[] {
    return this.views.affected.byServer(name);
  }

  keysForIssuer(name: string): string[] {
    return this.views.affected.byIssuer(name);
  }

  keysForClass(name: string): string[] {
    return this.views.affected.byClass(name);
  }

  serversOf(frontend: Frontend): string[] {
    return this.views.affected.serversOf(frontend);
  }

  serversOfRoute(route: Route): string[] {
    return this.views.affected.serversOfRoute(route);
  }

  serversOfClass(name: string): string[] {
    return this.views.affected.serversOfClass(name);
  }

  keysForCompanion(companion: CompanionProjection): string[] {
    return this.views.affected.byCompanion(companion);
  }

  keysForNamespace(name: string): string[] {
    return this.views.affected.byNamespace(name);
  }

  keysForBundle(bundle: BundleProjection): string[] {
    return this.views.affected.byBundle(bundle);
  }

  observe(key: string): Promise<Observed | undefined> {
    const scope = parseScopeKey(key);
    const now = this.#options.clock.now();
    const observed = this.views.observe(scope, now);
    if (observed.members.length + observed.bundles.length + observed.companions.length === 0) {
      this.#told.delete(key);
      return Promise.resolve(undefined);
    }
    return Promise.resolve(this.#noteLosses(observed, now) ? this.views.observe(scope, now) : observed);
  }

  desired(observed: Observed): Desired {
    return desired(observed);
  }

  run(step: TerminatorStep, view: View<Observed, Desired>, signal: AbortSignal): Promise<void> {
    return runStep(step, { ...this.#options, memory: this.#memory }, { now: view.now, signal });
  }

  /** There is no status to write; what changed is told to the frontends' owners. */
  settle(view: View<Observed, Desired>): Promise<void> {
    const { scope, members } = view.observed;
    const key = scopeKey(scope);
    const before = this.#told.get(key);
    const told = new Map<string, string[]>();
    for (const member of members) {
      const { uid, deleting } = member.frontend;
      if (deleting) continue;
      const problems = judge(member, view).filter(({ reason }) => !isTransient(reason));
      told.set(uid, problems.map(wordsOf));
      this.#tell(member, problems, before?.get(uid), inEffect(member, view));
    }
    this.#told.set(key, told);
    return Promise.resolve();
  }

  /**
   * A restart knows of nothing that it told. Where all is well it has nothing to say; what is still wrong has its Event
   * already, for an hour, under the very name that it would get now, so that nothing is written. To look for it first
   * would be a request as well, and a right to read Events.
   *
   * @param before undefined for a frontend that this process has not judged yet
   */
  #tell(
    member: Member,
    problems: readonly Problem[],
    before: readonly string[] | undefined,
    configured: boolean,
  ): void {
    const { kind, namespace, name, uid, resourceVersion } = member.frontend;
    const regarding = referenceTo(frontendResources[kind], { namespace, name, uid, resourceVersion });
    const record = (event: Pick<RecordedEvent, 'type' | 'reason' | 'note' | 'ifPresent'>): void => {
      this.#options.recorder.record({ regarding, action: 'ConfigureClientCertificates', ...event });
      const { reason, note } = event;
      this.#options.logger.info(
        { frontend: frontendName(member.frontend), reason, note },
        'told the owner of a terminator’s frontend',
      );
    };
    for (const problem of problems) {
      if (before?.includes(wordsOf(problem)) === true) continue;
      const type = problem.rule === 'ReportOnly' ? 'Normal' : 'Warning';
      const ifPresent = before === undefined ? 'keep' : 'count';
      record({ type, reason: problem.reason, note: problem.message, ifPresent });
    }
    if (problems.some(({ rule }) => isLive(rule))) this.#disproved.add(uid);
    // Also where something else is still the matter.
    else if (member.proved && this.#disproved.delete(uid)) {
      const note = `Live connections to ${member.frontend.proofHosts.join(', ')} show again what is configured.`;
      return record({ type: 'Normal', reason: 'ClientCertificatesProved', note });
    }
    if (problems.length > 0 || before === undefined || before.length === 0 || !configured) return;
    record({ type: 'Normal', reason: 'ClientCertificatesConfigured', note: 'What was reported is resolved.' });
  }

  /** @returns whether any was */
  #noteLosses(observed: Observed, now: number): boolean {
    const before = this.#memory.version;
    const { wanted } = desired(observed);
    for (const { frontend } of observed.members) {
      const want = wanted.get(frontend.uid);
      if (want === undefined || frontend.optIn.mode !== 'manage') continue;
      const missing = differingKeys(frontend, want).some((key) => frontend.settings[key] === undefined);
      if (missing) this.#memory.lost(frontend.uid, writtenOut(want.settings), frontend.resourceVersion, now);
    }
    return this.#memory.version !== before;
  }
}

const wordsOf = ({ reason, message }: Problem): string => `${reason} ${message}`;

/** A live connection showed it. */
const isLive = (rule: string): boolean => proofRules.some(({ name }) => name === rule);

/** Gone with the next event of the watch. */
function isTransient(reason: string): boolean {
  return reason === 'KubernetesConflict';
}
