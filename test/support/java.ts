/** What the tests on servers in Java need of this machine. */
import { lookUp } from './executable.ts';

/** @throws where it is not installed, with what to install */
async function installed(name: string, what: string): Promise<string> {
  const path = await lookUp(name);
  if (path !== undefined) return path;
  throw new Error(`${name} is not there: install ${what} to run the tests on servers in Java`);
}

const JDK = 'a JDK, 17 or later (Debian: openjdk-17-jdk-headless)';
export const java = (): Promise<string> => installed('java', JDK);
export const javac = (): Promise<string> => installed('javac', JDK);
export const jar = (): Promise<string> => installed('jar', JDK);
export const maven = (): Promise<string> => installed('mvn', 'Maven (Debian: maven)');
