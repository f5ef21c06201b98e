/** From what terminators answered to what is true of a host: pure. */
import type { ClientCertificates } from '../driver.ts';
import type { AddressRound, Case, Observation, Outcome } from './outcome.ts';

export const Reason = {
  /** Somebody got in who must not. */
  notEnforced: 'ClientAuthenticationNotEnforced',
  /** A certificate that must be taken is refused. */
  refused: 'CertificateRefused',
  /** Who shows none is refused, although none is needed. */
  required: 'CertificateRequired',
} as const;
export type Reason = (typeof Reason)[keyof typeof Reason];

type Expected = 'refused' | 'through';
type Decided = Expected | 'unclear';

/** Absent: not asked in this mode, for nothing could be told from what comes back. */
const expectations: Readonly<Record<ClientCertificates, Partial<Readonly<Record<Case, Expected>>>>> = {
  required: { none: 'refused', foreign: 'refused', canary: 'through', forged: 'refused', resumed: 'refused' },
  optional: { none: 'through', foreign: 'refused', canary: 'through' },
  // Nothing is verified: the server compares the certificate (RFC 8705 §2.2).
  request: { none: 'through', foreign: 'through', canary: 'through' },
};

export function isAsked(asked: Case, mode: ClientCertificates): boolean {
  return expectations[mode][asked] !== undefined;
}

export interface Violation {
  reason: Reason;
  case: Case;
  /** What was answered, as a clause. */
  answered: string;
  issuer?: string | undefined;
}

export interface Judgement {
  violations: readonly Violation[];
  /** Cases of which nothing is known now, as a clause; undefined where all was as clear as it gets. */
  unclear: string | undefined;
}

/** HTTP statuses by which terminators refuse; backends use them too. */
const refusals: ReadonlySet<number> = new Set([400, 401, 403, 421]);
/** nginx's own numbers, and haproxy-ingress's: nobody else has them. */
const certificateStatuses: ReadonlySet<number> = new Set([495, 496]);
/** Says something about the moment, or about the size of the request. */
const passing: ReadonlySet<number> = new Set([408, 429, 431]);

/** By itself, whatever others were answered. */
function plain(outcome: Outcome): Decided | 'depends' {
  switch (outcome.kind) {
    case 'alert':
      return 'refused';
    case 'closed':
      return 'depends';
    case 'unreachable':
      return 'unclear';
    case 'answer': {
      const { status, aboutCertificate } = outcome;
      if (certificateStatuses.has(status)) return 'refused';
      if (refusals.has(status)) return aboutCertificate ? 'refused' : 'depends';
      return status >= 500 || passing.has(status) ? 'unclear' : 'through';
    }
  }
}

/** One who must not get in: refused is what is answered otherwise than to who has a certificate. */
function intruderFate(outcome: Outcome, control: Outcome | undefined): Decided {
  const fate = plain(outcome);
  if (fate !== 'depends') return fate;
  if (control?.kind === 'answer' && plain(control) !== 'refused') {
    if (!sameAnswer(outcome, control)) return 'refused';
    // An API asks everybody for a token, and no terminator asks for one who has shown a certificate that it trusts.
    return outcome.kind === 'answer' && outcome.status === 401 ? 'through' : 'unclear';
  }
  // With nobody to compare with. To a plain GET a backend hardly says these two.
  return outcome.kind === 'answer' && (outcome.status === 400 || outcome.status === 421) ? 'refused' : 'unclear';
}

/** One who must get in: what looks like a refusal is the backend's word where who has no certificate hears another one. */
function clientFate(outcome: Outcome, intruder: Outcome | undefined): Decided {
  const fate = plain(outcome);
  if (outcome.kind !== 'answer' || fate === 'refused' || fate === 'through')
    return fate === 'depends' ? 'unclear' : fate;
  if (outcome.status === 401) return 'through';
  return intruder !== undefined && plain(intruder) === 'refused' ? 'through' : 'unclear';
}

const sameAnswer = (a: Outcome, b: Outcome): boolean =>
  a.kind === b.kind && (a.kind !== 'answer' || b.kind !== 'answer' || a.status === b.status);

/** What one address does, against what its mode promises. */
export function judge(mode: ClientCertificates, observations: readonly Observation[]): Judgement {
  const find = (asked: Case) => observations.find((each) => each.case === asked)?.outcome;
  const canaries = observations.filter((each) => each.case === 'canary').map(({ outcome }) => outcome);
  // The one that tells most.
  const control = canaries.find((each) => plain(each) === 'through') ?? canaries.find(({ kind }) => kind === 'answer');
  const violations: Violation[] = [];
  const unclear: string[] = [];
  for (const { case: asked, outcome, issuer } of observations) {
    const expected = expectations[mode][asked];
    if (expected === undefined) continue;
    const fate = expected === 'through' ? clientFate(outcome, find('none')) : intruderFate(outcome, control);
    if (fate === 'unclear') unclear.push(`${caller(asked, issuer)} was answered ${answerOf(outcome)}`);
    else if (fate !== expected) {
      const reason = expected === 'refused' ? Reason.notEnforced : asked === 'none' ? Reason.required : Reason.refused;
      violations.push({ reason, case: asked, answered: answerOf(outcome), issuer });
    }
  }
  if (find('none') === undefined || find('foreign') === undefined) unclear.push('not everything was asked');
  return { violations, unclear: unclear.length === 0 ? undefined : unclear.join('; ') };
}

function caller(asked: Case, issuer: string | undefined): string {
  switch (asked) {
    case 'none':
      return 'a caller without a certificate';
    case 'foreign':
      return 'a caller with a certificate of a CA that is not trusted';
    case 'forged':
      return 'a caller without a certificate that sent certificate headers of its own';
    case 'resumed':
      return 'a caller that resumed a session in which it had shown no certificate';
    case 'canary':
      return issuer === undefined
        ? 'a caller with a certificate of its own'
        : `a caller with a certificate of ClientCertificateIssuer ${issuer}`;
  }
}

function answerOf(outcome: Outcome): string {
  switch (outcome.kind) {
    case 'answer':
      return `status ${outcome.status}`;
    case 'alert':
      return 'a TLS alert about the certificate';
    case 'closed':
      return 'the end of the connection';
    case 'unreachable':
      return `nothing (${outcome.why})`;
  }
}

/** Something wrong at one address, and how often it was seen. */
interface Doubt extends Violation {
  address: string;
  /** Rounds that showed it. */
  seen: number;
  /** Rounds since that did not. */
  clean: number;
}

/** What is known of a host. */
export interface HostProof {
  doubts: readonly Doubt[];
  /** Rounds in a row in which all was right everywhere. */
  passes: number;
  /** Of the last of them, epoch milliseconds. */
  passedAt: number | undefined;
  /** Rounds in a row that said too little. */
  silent: number;
  /** Why. */
  unclear: string | undefined;
}

/** Whether it speaks of what live connections have shown. */
export function isShownLive(reason: string): boolean {
  return Object.values<string>(Reason).includes(reason);
}

export const UNPROVED: HostProof = { doubts: [], passes: 0, passedAt: undefined, silent: 0, unclear: undefined };

/** One round may be a fault on the way, or the moment of a reload. */
const enough = 2;
/** A replica that is right may answer for one that is not, behind one address. */
const cleanEnough = 3;

/** With the next round. An address that said nothing changes nothing of what is known of it. */
export function proofAfter(
  before: HostProof,
  { mode, rounds, now }: { mode: ClientCertificates; rounds: readonly AddressRound[]; now: number },
): HostProof {
  const judged = new Map(rounds.map(({ address, observations }) => [address, judge(mode, observations)]));
  const kept = before.doubts.flatMap((doubt): Doubt[] => {
    const judgement = judged.get(doubt.address);
    // Replicas come and go; an empty round has not looked.
    if (judgement === undefined) return rounds.length === 0 ? [doubt] : [];
    const again = judgement.violations.some((violation) => isSame(violation, doubt));
    // In the words of the first time: each other would be another Event.
    if (again) return [{ ...doubt, seen: doubt.seen + 1, clean: 0 }];
    if (judgement.unclear !== undefined) return [doubt];
    return doubt.clean + 1 >= cleanEnough ? [] : [{ ...doubt, clean: doubt.clean + 1 }];
  });
  const added = [...judged].flatMap(([address, { violations }]) =>
    violations
      .filter((violation) => !kept.some((doubt) => doubt.address === address && isSame(violation, doubt)))
      .map((violation): Doubt => ({ ...violation, address, seen: 1, clean: 0 })),
  );
  const unclear = [...judged].flatMap(([address, each]) =>
    each.unclear === undefined ? [] : `${address}: ${each.unclear}`,
  );
  const decided = rounds.length > 0 && unclear.length === 0;
  const violated = [...judged.values()].some(({ violations }) => violations.length > 0);
  const passes = violated ? 0 : decided ? before.passes + 1 : before.passes;
  const passed = decided && !violated && passes >= enough && kept.length === 0;
  return {
    doubts: [...kept, ...added],
    passes,
    // What was right before it was disproved is no answer to what it is when the doubt is gone.
    passedAt: passed ? now : kept.some(isHeld) ? undefined : before.passedAt,
    silent: decided || violated ? 0 : before.silent + 1,
    unclear: decided ? undefined : unclear.join(' ') || 'no address was asked',
  };
}

/** Nobody could be asked, for reasons of our own. */
export function unasked(before: HostProof, why: string): HostProof {
  return { ...before, silent: before.silent + 1, unclear: why };
}

const isSame = (a: Violation, b: Violation): boolean =>
  a.reason === b.reason && a.case === b.case && a.issuer === b.issuer;

/** `unproved`: too little was seen yet. Once proved or disproved it is that until the contrary is. */
export function stateOf(proof: HostProof): 'unproved' | 'proved' | 'disproved' {
  if (held(proof).length > 0) return 'disproved';
  return proof.passedAt === undefined ? 'unproved' : 'proved';
}

const isHeld = ({ seen }: Doubt): boolean => seen >= enough;
const held = ({ doubts }: HostProof): readonly Doubt[] => doubts.filter(isHeld);

const againMs = 5_000;
const disprovedMs = 20_000;
const firstSilentMs = 30_000;

/** Milliseconds to the next round: soon while something is about to be known, else the interval. */
export function delayOf(proof: HostProof, intervalMs: number): number {
  const { doubts, passes, silent } = proof;
  if (silent > 0) return Math.min(intervalMs, firstSilentMs * 2 ** Math.min(silent - 1, 20));
  const open = doubts.some(({ seen, clean }) => seen < enough || clean > 0);
  if (open || (doubts.length === 0 && passes < enough)) return Math.min(intervalMs, againMs);
  return doubts.length > 0 ? Math.min(intervalMs, disprovedMs) : intervalMs;
}

export interface ProofProblem {
  reason: Reason;
  message: string;
  /** No new certificate is to be published through it. */
  holdsUp: boolean;
}

const remedies: Readonly<Record<Reason, string>> = {
  ClientAuthenticationNotEnforced:
    'See that this terminator serves the host as it is configured here (it may not have loaded it, or something else decides about the host) and verifies certificates against the trust bundle alone',
  CertificateRefused:
    'See that this terminator has loaded the trust bundle as it is now, and that its verification depth reaches the root',
  CertificateRequired: 'See that this terminator asks for certificates on the host without requiring them',
};

/** What is disproved of a host, each kind once, as sentences to its owner. */
export function problemsOf(host: string, proof: HostProof): ProofProblem[] {
  return Object.values(Reason).flatMap((reason): ProofProblem[] => {
    const [first, ...more] = held(proof).filter((doubt) => doubt.reason === reason);
    if (first === undefined) return [];
    const others = new Set(more.map(({ address }) => address).filter((address) => address !== first.address)).size;
    const where = others === 0 ? first.address : `${first.address} and ${others} more`;
    const who = caller(first.case, first.issuer);
    const what = reason === Reason.notEnforced ? 'was let in' : 'was refused';
    const sessions = first.case === 'resumed' ? ': switch off its session cache and session tickets, or update it' : '';
    const message = `At ${host} (${where}) ${who} ${what}: ${first.answered}. ${remedies[reason]}${sessions}. It is looked at again within half a minute.`;
    return [{ reason, message, holdsUp: reason !== Reason.required }];
  });
}
