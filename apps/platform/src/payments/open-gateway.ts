/**
 * The payment provider of the settings: Stripe, or the sandbox of another process, or else a sandbox of this one, which keeps what it
 * knows in the platform's folder.
 */
import { mkdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { Settings } from '../settings.ts';
import type { PaymentGateway } from './gateway.ts';
import { sandboxSecrets, startSandboxGateway } from './sandbox-gateway.ts';
import { createStripeGateway } from './stripe-gateway.ts';

export interface OpenedGateway {
  readonly gateway: PaymentGateway;
  /** For people. */
  readonly where: string;
  close(): Promise<void>;
}

/** @param publicUrl where the buyer's browser comes back to, and where events are told */
export async function openGateway({ stripe, sandboxUrl, folder, demo }: Settings, publicUrl: string): Promise<OpenedGateway> {
  const returnUrl = `${publicUrl}/`;
  const none = async () => {};
  if (stripe !== undefined) {
    return { gateway: createStripeGateway({ ...stripe, returnUrl }), where: 'Stripe', close: none };
  }
  if (sandboxUrl !== undefined) {
    const { hostname, port } = new URL(sandboxUrl);
    const gateway = createStripeGateway({ ...sandboxSecrets, returnUrl, host: hostname, port: Number(port), protocol: 'http' });
    return { gateway, where: `sandbox at ${sandboxUrl}`, close: none };
  }
  await mkdir(resolve(folder), { recursive: true });
  const sandbox = await startSandboxGateway({
    file: join(resolve(folder), 'sandbox-payments.jsonl'),
    webhookUrl: `${publicUrl}/webhooks/payments`,
    // So that there is something to see.
    ...(demo ? { trouble: { rate: 0.02 } } : {}),
  });
  const gateway = createStripeGateway({ ...sandbox.connection, returnUrl });
  return { gateway, where: `sandbox at ${sandbox.url}`, close: () => sandbox.stop() };
}
