// `npm run bench -- B1 B2 …`: prints one JSON line a measure, the median of all runs; see --help.
import { cpus, totalmem } from 'node:os';
import { parseArgs } from 'node:util';
import type { Figure } from './measure.ts';
import { measures, runOnce } from './measures.ts';

const usage = `npm run bench -- [MEASURE …] [options]

  B1      500 OAuthClients, registered and proved, to Ready; beside it cert-manager's 500 Certificates
  B2      one apply to Ready, idle
  B3      writes per client, create to Ready and renewal
  B7      refused calls in --rotations N (default 1000) of --clients N (default 100), three terminators that reload 0-10 s apart
  B8      the leader killed, and ended, until the next renewal is done, with --clients N (default 1000)
  scale   B4, B5 and B6 of --clients N (default 1000): time to Ready, cold restart, memory, silence
  soak    constant change of --clients N (default 200): memory, sockets, watches; one run unless --runs says more

  --runs N       default 5; the median is printed
  --clients N    instead of the measure's own number
  --rest N       seconds of B6, default 600
  --minutes N    of the soak, default 30
  --rotations N  of B7, of all clients together
  --reload N     of B7: seconds to a terminator's reload, at most; default 10
  --profile KIND cpu: prints where the operator's time went; heap: keeps a sampling heap profile
`;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    runs: { type: 'string' },
    clients: { type: 'string' },
    rest: { type: 'string', default: '600' },
    minutes: { type: 'string', default: '30' },
    rotations: { type: 'string' },
    reload: { type: 'string' },
    profile: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
});

const isMeasure = (name: string): name is keyof typeof measures => name in measures;
const unknown = positionals.filter((name) => !isMeasure(name));
const { profile } = values;
if (values.help || unknown.length > 0 || (profile !== undefined && profile !== 'cpu' && profile !== 'heap')) {
  process.stderr.write(unknown.length > 0 ? `there is no measure ${unknown.join(', ')}\n\n${usage}` : usage);
  process.exit(values.help ? 0 : 64);
}
if (process.platform !== 'linux') throw new Error('the bench reads /proc, which only Linux has');

const chosen = positionals.length > 0 ? positionals.filter(isMeasure) : (['B1', 'B2', 'B3', 'scale'] as const);
const machine = `${cpus().length} × ${cpus()[0]?.model ?? '?'}, ${Math.round(totalmem() / 2 ** 30)} GiB, Node ${process.version}`;
const rounded = (value: number) => Number(value.toPrecision(4));
const median = (sorted: readonly number[]) => {
  const middle = sorted.length / 2;
  return ((sorted[Math.floor(middle)] ?? Number.NaN) + (sorted[Math.ceil(middle) - 1] ?? Number.NaN)) / 2;
};
const summary = (all: readonly number[]) => {
  const sorted = all.toSorted((a, b) => a - b);
  return { median: median(sorted), range: [sorted[0], sorted.at(-1)].map((value) => rounded(value ?? Number.NaN)) };
};

for (const name of chosen) {
  const runs = Number(values.runs ?? (['soak', 'B7', 'B8'].includes(name) ? 1 : 5));
  const figures = new Map<string, Figure[]>();
  for (let run = 0; run < runs; run++) {
    const say = (line: string) => process.stderr.write(`${name} run ${run + 1} of ${runs}: ${line}\n`);
    const results = await runOnce(name, {
      run,
      clients: values.clients === undefined ? undefined : Number(values.clients),
      profile,
      restSeconds: Number(values.rest),
      minutes: Number(values.minutes),
      rotations: values.rotations === undefined ? undefined : Number(values.rotations),
      reloadSeconds: values.reload === undefined ? undefined : Number(values.reload),
      say,
    });
    for (const figure of results) {
      const { measure, value, unit, peer } = figure;
      say(
        `${measure}: ${rounded(value)} ${unit}${peer === undefined ? '' : ` (${peer.name}: ${rounded(peer.value)})`}`,
      );
      figures.set(measure, [...(figures.get(measure) ?? []), figure]);
    }
  }
  for (const [measure, all] of figures) {
    const { median: value, range } = summary(all.map((figure) => figure.value));
    const peers = all.flatMap(({ peer }) => peer ?? []);
    const ratios = all.flatMap((figure) => (figure.peer === undefined ? [] : [figure.value / figure.peer.value]));
    const beside =
      peers[0] === undefined
        ? {}
        : {
            peer: { name: peers[0].name, value: rounded(summary(peers.map((peer) => peer.value)).median) },
            ratio: rounded(summary(ratios).median),
          };
    console.log(
      JSON.stringify({ measure, value: rounded(value), unit: all[0]?.unit, range, ...beside, n: all.length, machine }),
    );
  }
}
