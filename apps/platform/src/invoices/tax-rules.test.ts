import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { noteOf, type TaxParty, TaxRuleError, taxRuling } from './tax-rules.ts';

const party = (country: string, vatId?: string): TaxParty => ({ country, vatId });

describe('the tax of a sale', () => {
  it.each<[string, TaxParty, TaxParty, object]>([
    ['within a country', party('DE', 'DE123456789'), party('DE', 'DE987654321'), { rule: 'domestic', rate: 1_900 }],
    ['within a country outside of the EU', party('CH'), party('CH'), { rule: 'domestic', rate: 810 }],
    ['within the United States', party('US'), party('US'), { rule: 'domestic', rate: 0 }],
    ['between companies of the EU', party('DE', 'DE123456789'), party('FR', 'FRXX999999999'), { rule: 'reverse_charge', rate: 0 }],
    ['to Greece, whose ids begin otherwise', party('DE', 'DE123456789'), party('GR', 'EL123456789'), { rule: 'reverse_charge', rate: 0 }],
    ['to a person in the EU', party('DE', 'DE123456789'), party('FR'), { rule: 'destination', rate: 2_000 }],
    ['to one with an id from elsewhere', party('DE', 'DE123456789'), party('FI', 'GB123456789'), { rule: 'destination', rate: 2_550 }],
    [
      'to one with an id from another member state',
      party('DE', 'DE123456789'),
      party('FR', 'DE111111111'),
      { rule: 'destination', rate: 2_000 },
    ],
    ['to one whose id is none', party('DE', 'DE123456789'), party('FR', 'unknown'), { rule: 'destination', rate: 2_000 }],
    ['by one without an id', party('DE'), party('FR', 'FRXX999999999'), { rule: 'destination', rate: 2_000 }],
    ['out of the EU', party('DE', 'DE123456789'), party('GB', 'GB123456789'), { rule: 'export', rate: 0 }],
    ['into the EU', party('GB'), party('DE', 'DE123456789'), { rule: 'export', rate: 0 }],
    ['between others', party('BR'), party('AR'), { rule: 'export', rate: 0 }],
  ])('%s', (_, seller, buyer, ruling) => {
    expect(taxRuling(seller, buyer)).toEqual(ruling);
  });

  it('within a country that is not known is refused', () => {
    expect(() => taxRuling(party('BR'), party('BR'))).toThrow(TaxRuleError);
  });

  it('is a rate that there is, and none where the buyer owes it or the goods leave', () => {
    const countries = fc.constantFrom('AT', 'DE', 'FR', 'GR', 'GB', 'CH', 'US', 'JP', 'NO', 'PL');
    const parties = fc.record({
      country: countries,
      vatId: fc.option(fc.constantFrom('DE123456789', 'FRXX999999999'), { nil: undefined }),
    });
    fc.assert(
      fc.property(parties, parties, (seller, buyer) => {
        const { rule, rate } = taxRuling(seller, buyer);
        expect(Number.isInteger(rate) && rate >= 0 && rate <= 2_700).toBe(true);
        if (rule === 'reverse_charge' || rule === 'export') expect(rate).toBe(0);
        expect(rule === 'domestic').toBe(seller.country === buyer.country);
        expect(noteOf({ rule }) !== undefined).toBe(rule === 'export');
      }),
    );
  });
});
