/** What is written to the status of a server. Pure. */
import type { AuthorizationServer, AuthorizationServerStatus } from '../api/authorization-server.ts';
import { mergeConditions, type Verdict } from '../api/conditions.ts';
import { capabilitiesOf } from './capabilities.ts';
import { Condition, type ServerFinding, type ServerView } from './step.ts';
import { trustVerdict } from './trust-bundle/checks.ts';

/** Errors of discovery that no time heals; every other one may be a fault on the way. */
const definite = new Set(['IssuerMismatch']);

/** Where discovery fails, what the status said of the server stays: its clients go on using it. */
export function statusOf(view: ServerView, findings: readonly ServerFinding[]): AuthorizationServerStatus {
  const { server, discovered } = view.observed;
  const { status, metadata } = server;
  const known = discovered ?? status;
  const occasional = [Condition.authorized, Condition.reachable, Condition.deletable].flatMap(
    (type) => findings.find(({ condition }) => condition === type) ?? [],
  );
  const trust = trustVerdict(view, findings);
  const verdicts = [
    readyVerdict(view, findings),
    discoveredVerdict(view, findings),
    ...(trust === undefined ? [] : [trust]),
    ...occasional.map(verdictOf),
  ];
  return {
    observedGeneration: metadata.generation,
    ...(server.spec.caBundleRef === undefined || view.desired.caBundle === undefined
      ? {}
      : { caBundle: view.desired.caBundle }),
    ...(known?.endpoints === undefined ? {} : { endpoints: known.endpoints }),
    ...(known?.capabilities === undefined ? {} : { capabilities: { ...known.capabilities, ...ofItsKind(server) } }),
    conditions: mergeConditions(status?.conditions ?? [], verdicts, metadata.generation, view.now),
  };
}

function ofItsKind(server: AuthorizationServer): { bindsRefreshTokens?: boolean } {
  const bindsRefreshTokens = capabilitiesOf(server)?.bindsRefreshTokens;
  return bindsRefreshTokens === undefined ? {} : { bindsRefreshTokens };
}

function verdictOf({ condition: type, status, reason, message }: ServerFinding): Verdict {
  return { type, status, reason, message };
}

const discoveryOf = (findings: readonly ServerFinding[]) =>
  findings.find(({ condition }) => condition === Condition.discovered);

/** Whether the operator may manage clients. */
const authorizationOf = (findings: readonly ServerFinding[]) =>
  findings.find(({ condition }) => condition === Condition.authorized);

function discoveredVerdict({ observed: { server } }: ServerView, findings: readonly ServerFinding[]): Verdict {
  const type = Condition.discovered;
  const finding = discoveryOf(findings);
  if (finding !== undefined)
    return { ...verdictOf(finding), status: definite.has(finding.reason) ? 'False' : 'Unknown' };
  const hidden = findings.find(
    ({ step, blocks, deferrable }) => (step !== undefined && deferrable !== true) || blocks === true,
  );
  if (hidden !== undefined) return { type, status: 'Unknown', reason: hidden.reason, message: hidden.message };
  return { type, status: 'True', reason: 'Discovered', message: `The metadata of ${server.spec.issuer} was read.` };
}

function readyVerdict(view: ServerView, findings: readonly ServerFinding[]): Verdict {
  const type = Condition.ready;
  const problem = findings.find(({ condition }) => condition === Condition.ready);
  if (problem !== undefined) return verdictOf(problem);
  const asked = discoveryOf(findings) ?? authorizationOf(findings);
  const before = view.observed.server.status?.conditions?.find((condition) => condition.type === type);
  if (asked !== undefined && (definite.has(asked.reason) || !stillTrue(view, asked))) {
    return { ...verdictOf(asked), type, status: asked.error === undefined ? 'Unknown' : 'False' };
  }
  if (asked !== undefined && before !== undefined) {
    return { type, status: before.status, reason: before.reason, message: before.message };
  }
  return { type, status: 'True', reason: 'Ready', message: 'Clients can be registered at this server.' };
}

/** P9: a transient fault does not flip Ready; but it was true of the same spec, or nothing is known. */
function stillTrue({ observed: { server, discovered }, desired }: ServerView, asked: ServerFinding): boolean {
  const { status, metadata } = server;
  const ready = status?.conditions?.find(({ type }) => type === Condition.ready);
  if (ready?.status !== 'True' || status?.endpoints === undefined) return false;
  return discovered === undefined || asked.condition === Condition.authorized
    ? ready.observedGeneration === metadata.generation
    : discovered.basis === desired.discoveryBasis;
}
