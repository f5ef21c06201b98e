import { readConfig } from './config.ts';
import { asOperatorError } from './errors.ts';
import { type Operator, startOperator } from './operator.ts';
import { createLogger } from './telemetry.ts';

/** sysexits.h, as far as it goes: the last is EX_TEMPFAIL, start it again. */
const exitCode = { usage: 64, internal: 70, configuration: 78, leaseLost: 75 };
const usage = 'usage: certbound operator\n';

async function main(): Promise<void> {
  const [command, ...rest] = process.argv.slice(2);
  if (command !== 'operator' || rest.length > 0) {
    process.stderr.write(usage);
    process.exitCode = exitCode.usage;
    return;
  }
  const config = readConfig(process.env);
  const logger = createLogger({ level: config.logLevel });
  process.on('unhandledRejection', (reason) => {
    logger.fatal({ err: asOperatorError(reason) }, 'unhandled rejection');
    process.exit(exitCode.internal);
  });
  let operator: Operator | undefined;
  const stop = (signal: NodeJS.Signals) => {
    logger.info({ signal }, 'stopping');
    // Before its caches are synced it has done nothing.
    if (operator === undefined) process.exit(0);
    operator.stop().then(
      () => process.exit(0),
      (error: unknown) => {
        logger.error({ err: asOperatorError(error) }, 'stopping failed');
        process.exit(exitCode.internal);
      },
    );
  };
  process.once('SIGTERM', stop);
  process.once('SIGINT', stop);
  operator = await startOperator(config, logger, (why) => {
    logger.fatal({ err: why }, 'lease lost');
    process.exit(exitCode.leaseLost);
  });
}

main().catch((error: unknown) => {
  process.stderr.write(`${asOperatorError(error).message}\n`);
  process.exit(exitCode.configuration);
});
