import { readConfig } from './config.ts';
import { asOperatorError } from './errors.ts';
import { startOperator } from './operator.ts';
import { createLogger } from './telemetry.ts';

const usage = 'usage: certbound operator\n';

async function main(): Promise<void> {
  const [command, ...rest] = process.argv.slice(2);
  if (command !== 'operator' || rest.length > 0) {
    process.stderr.write(usage);
    process.exitCode = 64;
    return;
  }
  const config = readConfig(process.env);
  const logger = createLogger({ level: config.logLevel });
  process.on('unhandledRejection', (reason) => {
    logger.fatal({ err: asOperatorError(reason) }, 'unhandled rejection');
    process.exit(70);
  });
  const operator = await startOperator(config, logger);
  const stop = (signal: NodeJS.Signals) => {
    logger.info({ signal }, 'stopping');
    operator.stop().then(
      () => process.exit(0),
      (error: unknown) => {
        logger.error({ err: asOperatorError(error) }, 'stopping failed');
        process.exit(70);
      },
    );
  };
  process.once('SIGTERM', stop);
  process.once('SIGINT', stop);
}

main().catch((error: unknown) => {
  process.stderr.write(`${asOperatorError(error).message}\n`);
  process.exit(78);
});
