/** Against services that tests/clients/test_typescript.py starts, which says where they are and what is expected. */

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { after, describe, test } from "node:test";

import { Code } from "@connectrpc/connect";

import { type Artwork, Studio, StudioError, type Where, whereOf } from "../src/index.js";

interface Drawn {
  id: string;
  index: number;
  sha256: string;
}

const FOLDER = given("UNIKAT_FOLDER");
const EXPECTED = JSON.parse(readFileSync(given("UNIKAT_EXPECTED"), "utf8")) as {
  six: Drawn[];
  sixty: Drawn[];
  where: Where;
  seed: string;
};

function given(name: string): string {
  const value = process.env[name];
  assert.ok(value, `${name} is not set: pytest tests/clients runs these tests`);
  return value;
}

function shown({ id, index, image }: Artwork): Drawn {
  return { id, index, sha256: createHash("sha256").update(image).digest("hex") };
}

async function failureOf(work: Promise<unknown>): Promise<StudioError> {
  const found = await work.then(
    () => assert.fail("it ended well"),
    (thrown: unknown) => thrown,
  );
  assert.ok(found instanceof StudioError, String(found));
  return found;
}

async function all(works: AsyncIterable<Artwork>): Promise<Artwork[]> {
  const found: Artwork[] = [];
  for await (const artwork of works) found.push(artwork);
  return found;
}

describe("a studio", () => {
  const studio = new Studio(given("UNIKAT_TARGET"));
  after(() => studio.close());
  const options = { seed: BigInt(EXPECTED.seed), index: 3, format: "webp" } as const;

  test("lists and reads the models", async () => {
    assert.deepEqual((await studio.models()).map(({ name }) => name), ["slow", "tiny"]);
    const model = await studio.model("tiny@1");
    assert.deepEqual(model.attributes.map(({ name }) => name), ["style", "subject"]);
    const missing = await failureOf(studio.model("tinny"));
    assert.deepEqual([missing.code, missing.reason], [Code.NotFound, "MODEL_NOT_FOUND"]);
    assert.match(missing.fields["name"] ?? "", /did you mean "tiny/);
  });

  test("draws the bytes that Python's client draws", async () => {
    const generation = studio.generate("tiny", EXPECTED.where, { ...options, count: 6 });
    const drawn = await all(generation);
    assert.deepEqual(drawn.map(shown), EXPECTED.six);
    assert.deepEqual([generation.accepted?.count, generation.finished?.count], [6, 6]);
    assert.equal(drawn[0]?.mediaType, "image/webp");
    const again = whereOf(drawn[0]?.conditions ?? []);
    const one = await studio.draw("tiny", again, options);
    assert.deepEqual(shown(one), EXPECTED.six[0]);
    assert.equal(one.accepted?.model, "tiny@1");
  });

  test("picks a seed that draws the same again, and draws recipes", async () => {
    const one = await studio.draw("tiny");
    const again = await studio.draw("tiny", {}, { seed: one.seed });
    assert.deepEqual(again.image, one.image);
    const points = [{ base: { case: "point" as const, value: { seed: one.seed, index: 0 } }, weight: 1 }];
    const mixed = await studio.draw("tiny", whereOf(one.conditions), { recipe: { points } });
    assert.deepEqual([mixed.id, mixed.image], [one.id, one.image]);
  });

  test("names what is wrong, and what is allowed", async () => {
    const wrong = await failureOf(all(studio.generate("tiny", { style: "inc" }, { truncation: 3, count: 0 })));
    assert.deepEqual([wrong.code, wrong.reason, wrong.isLost], [Code.InvalidArgument, "BAD_FIELD", false]);
    assert.deepEqual(Object.keys(wrong.fields).sort(), ["conditions[0].category", "count", "truncation"]);
    assert.match(wrong.fields["conditions[0].category"] ?? "", /did you mean "ink"/);
  });

  test("refuses numbers that no field holds before they are sent", async () => {
    for (const seed of [-1n, 2n ** 64n, -1, 1.5, NaN, 2 ** 64]) {
      const wrong = await failureOf(studio.draw("tiny", {}, { seed }));
      assert.deepEqual([wrong.code, Object.keys(wrong.fields), wrong.isLost], [Code.InvalidArgument, ["seed"], false]);
      assert.match(wrong.message, new RegExp(`seed: must be .* 0 to 18446744073709551615, not ${seed}`));
    }
    const points = [{ base: { case: "point" as const, value: { seed: -1n } }, weight: 1 }];
    for (const options of [{ recipe: { points } }, { count: -1 }, { index: 0.5 }]) {
      const wrong = await failureOf((async () => all(studio.generate("tiny", {}, options)))());
      assert.equal(wrong.code, Code.InvalidArgument);
      assert.match(wrong.message, /Point\.seed|count|first_index/);
    }
  });

  test("goes on behind the last image where its service was killed", async () => {
    const drawn: Drawn[] = [];
    for await (const artwork of studio.generate("slow", {}, { seed: 5, count: 60 })) {
      drawn.push(shown(artwork));
      if (drawn.length === 3) writeFileSync(join(FOLDER, "kill"), "");
    }
    assert.deepEqual(drawn, EXPECTED.sixty);
  });

  test("calls a job off where a loop is left, by a signal, and at a deadline", async () => {
    for await (const artwork of studio.generate("slow", {}, { seed: 6, count: 4096 })) {
      if (artwork.index === 1) break;
    }
    const stop = new AbortController();
    const stopped = failureOf(
      (async () => {
        for await (const artwork of studio.generate("slow", {}, { seed: 7, count: 4096, signal: stop.signal })) {
          if (artwork.index === 1) stop.abort();
        }
      })(),
    );
    assert.equal((await stopped).code, Code.Canceled);
    const options = { seed: 9, signal: AbortSignal.abort() };
    assert.equal((await failureOf(studio.draw("slow", {}, options))).code, Code.Canceled);
    const late = await failureOf(all(studio.generate("slow", {}, { seed: 8, count: 4096, timeoutMs: 300 })));
    assert.equal(late.code, Code.DeadlineExceeded);
  });
});

describe("a connection", () => {
  test("is encrypted and shows a token, which goes nowhere in plaintext", async () => {
    const ca = readFileSync(join(FOLDER, "ca.pem"));
    const target = given("UNIKAT_LOCKED");
    const known = new Studio(target, { ca, token: given("UNIKAT_LOCKED_TOKEN") });
    assert.deepEqual((await known.models()).map(({ name }) => name), ["tiny"]);
    known.close();
    const nobody = new Studio(target, { ca, token: "" });
    assert.equal((await failureOf(nobody.models())).code, Code.Unauthenticated);
    nobody.close();
    const stranger = new Studio(target, { tls: true, reconnectMs: 100 });
    assert.equal((await failureOf(stranger.models())).code, Code.Unavailable);
    stranger.close();
    assert.throws(() => new Studio("art.example:50051", { token: "unikat_0_x" }), TypeError);
  });

  test("that nobody answers is given up after a while", async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const address = server.address();
    assert.ok(address && typeof address === "object");
    await new Promise((resolve) => server.close(resolve));
    const studio = new Studio(`127.0.0.1:${address.port}`, { reconnectMs: 400 });
    const began = Date.now();
    assert.equal((await failureOf(studio.draw("tiny"))).code, Code.Unavailable);
    assert.ok(Date.now() - began < 5000);
    studio.close();
    const patient = new Studio(`127.0.0.1:${address.port}`);
    const stopped = await failureOf(patient.draw("tiny", {}, { signal: AbortSignal.timeout(400) }));
    assert.equal(stopped.code, Code.Canceled); // while it waited for the next try
    patient.close();
  });
});
