/**
 * The payment provider of the settings: Stripe, or the sandbox of another process, or else a sandbox of this one, which keeps what it
 * knows in the platform's folder.
 */
import { mkdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { Settings } from '../settings.ts';
import type { PaymentGateway } from './gateway.ts';
import { type SandboxGateway, startSandboxGateway } from './sandbox-gateway.ts';
import { createStripeGateway } from './stripe-gateway.ts';

export interface OpenedGateway {
  readonly gateway: PaymentGateway;
  /** For people. */
  readonly where: string;
  /** Undefined unless it runs in this process. */
  readonly sandbox: SandboxGateway | undefined;
  close(): Promise<void>;
}

/** Of the sandbox: it guards nothing. */
const sandboxSecrets = { secretKey: 'sk_test_sandbox', webhookSecret: 'whsec_sandbox' } as const;

/** @param publicUrl where the buyer's browser comes back to, and where events are told */
export async function openGateway({ stripe, sandboxUrl, folder }: Settings, publicUrl: string): Promise<OpenedGateway> {
  const returnUrl = `${publicUrl}/`;
  const none = async () => {};
  if (stripe !== undefined) {
    return { gateway: createStripeGateway({ ...stripe, returnUrl }), where: 'Stripe', sandbox: undefined, close: none };
  }
  if (sandboxUrl !== undefined) {
    const { hostname, port } = new URL(sandboxUrl);
    const gateway = createStripeGateway({ ...sandboxSecrets, returnUrl, host: hostname, port: Number(port), protocol: 'http' });
    return { gateway, where: `sandbox at ${sandboxUrl}`, sandbox: undefined, close: none };
  }
  await mkdir(resolve(folder), { recursive: true });
  const sandbox = await startSandboxGateway({
    ...sandboxSecrets,
    file: join(resolve(folder), 'sandbox-payments.jsonl'),
    webhookUrl: `${publicUrl}/webhooks/payments`,
  });
  const gateway = createStripeGateway({ ...sandbox.connection, returnUrl });
  return { gateway, where: `sandbox at ${sandbox.url}`, sandbox, close: () => sandbox.stop() };
}
