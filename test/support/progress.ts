/**
 * Runs `work`; one that takes over 2 s announces itself on stderr, then says every 10 s how long it has been at it.
 * stdout stays free for what a test or the demo prints.
 */
export async function withProgress<T>(what: string, work: () => Promise<T>): Promise<T> {
  const start = performance.now();
  const seconds = () => Math.round((performance.now() - start) / 1000);
  let announced = false;
  const say = () => {
    announced = true;
    process.stderr.write(`${what}: ${seconds()} s so far\n`);
  };
  let every: NodeJS.Timeout | undefined;
  const first = setTimeout(() => {
    say();
    every = setInterval(say, 10_000);
  }, 2000);
  try {
    const result = await work();
    if (announced) process.stderr.write(`${what}: done in ${seconds()} s\n`);
    return result;
  } finally {
    clearTimeout(first);
    clearInterval(every);
  }
}
