/**
 * X.509 certificates for tests of TLS, made afresh for each run: Node.js can sign but not issue, so the few fields of
 * RFC 5280 that a server certificate needs are written here as DER.
 */
import { generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto';

export interface Certificate {
  readonly name: string;
  /** PEM. */
  readonly certificate: string;
  /** PEM. */
  readonly key: string;
  readonly privateKey: KeyObject;
}

/** An authority that signs itself. */
export function authority(name: string): Certificate {
  return issue(name, undefined, [extension('2.5.29.19', true, sequence(boolean(true)))]);
}

/** A server's certificate for one host name, signed by an authority. */
export function serverCertificate(host: string, by: Certificate): Certificate {
  return issue(host, by, [extension('2.5.29.17', false, sequence(der(0x82, Buffer.from(host))))]);
}

const ecdsaWithSha256 = sequence(oid('1.2.840.10045.4.3.2'));

function issue(name: string, by: Certificate | undefined, extensions: readonly Buffer[]): Certificate {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const now = Date.now();
  const toBeSigned = sequence(
    der(0xa0, integer(Buffer.from([2]))),
    integer(Buffer.concat([Buffer.from([1]), randomBytes(15)])),
    ecdsaWithSha256,
    distinguishedName(by?.name ?? name),
    sequence(time(now - 3_600_000), time(now + 86_400_000)),
    distinguishedName(name),
    publicKey.export({ type: 'spki', format: 'der' }),
    der(0xa3, sequence(...extensions)),
  );
  const signature = sign('sha256', toBeSigned, by?.privateKey ?? privateKey);
  const whole = sequence(toBeSigned, ecdsaWithSha256, bits(signature));
  // No empty line at the end, which OpenSSL would not read.
  const lines = whole.toString('base64').replace(/.{64}(?=.)/g, '$&\n');
  return {
    name,
    certificate: `-----BEGIN CERTIFICATE-----\n${lines}\n-----END CERTIFICATE-----\n`,
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    privateKey,
  };
}

function der(tag: number, ...contents: readonly Buffer[]): Buffer {
  const content = Buffer.concat(contents);
  const { length } = content;
  const size = length < 128 ? [length] : length < 256 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from([tag, ...size]), content]);
}

function sequence(...contents: readonly Buffer[]): Buffer {
  return der(0x30, ...contents);
}

function integer(bytes: Buffer): Buffer {
  return der(0x02, bytes);
}

function boolean(value: boolean): Buffer {
  return der(0x01, Buffer.from([value ? 0xff : 0]));
}

function bits(bytes: Buffer): Buffer {
  return der(0x03, Buffer.from([0]), bytes);
}

function oid(dotted: string): Buffer {
  const [first = 0, second = 0, ...rest] = dotted.split('.').map(Number);
  const bytes = rest.flatMap((number) => {
    const groups = [number & 0x7f];
    for (let left = number >> 7; left > 0; left >>= 7) groups.unshift((left & 0x7f) | 0x80);
    return groups;
  });
  return der(0x06, Buffer.from([first * 40 + second, ...bytes]));
}

function time(at: number): Buffer {
  return der(0x17, Buffer.from(`${new Date(at).toISOString().replace(/[-:T]/g, '').slice(2, 14)}Z`));
}

function distinguishedName(name: string): Buffer {
  return sequence(der(0x31, sequence(oid('2.5.4.3'), der(0x0c, Buffer.from(name)))));
}

function extension(id: string, critical: boolean, value: Buffer): Buffer {
  return sequence(oid(id), ...(critical ? [boolean(true)] : []), der(0x04, value));
}
