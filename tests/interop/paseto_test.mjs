// Our tokens against another implementation of PASETO: npm's `paseto` (github.com/panva/paseto).
// Environment: SESSREG_TOOL, ISSUE_TOKEN, NODE_MODULES (the folder that `npm ci` filled).
import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const { SESSREG_TOOL, ISSUE_TOKEN, NODE_MODULES } = process.env
const { V4, decode } = createRequire(join(NODE_MODULES, 'x'))('paseto')

const dir = mkdtempSync(join(tmpdir(), 'sessreg-interop-'))
process.on('exit', () => rmSync(dir, { recursive: true, force: true }))
const keyFile = join(dir, 'lab.key')
const publicFile = join(dir, 'lab.pub')

const issue = (user = 'alice', slot = 7, life = 3600) =>
  execFileSync(ISSUE_TOKEN, [keyFile, 'lab', user, String(slot), String(life)], { encoding: 'utf8' }).trim()

// The tool's answer: {code, out, error}.
function verify(token, publicKey = publicFile) {
  const run = spawnSync(
    SESSREG_TOOL, ['--site', 'lab', '--json', 'token', 'verify', '--public-key', publicKey, '-'],
    { input: token, encoding: 'utf8' })
  return {
    code: run.status,
    out: run.status === 0 ? JSON.parse(run.stdout) : undefined,
    error: run.status === 0 ? undefined : JSON.parse(run.stderr).error,
  }
}

let failed = 0
async function test(name, body) {
  try {
    await body()
    console.log(`ok: ${name}`)
  } catch (error) {
    ++failed
    console.log(`FAILED: ${name}\n${error.stack}`)
  }
}

const token = issue()
const publicKey = readFileSync(publicFile, 'utf8').split('\n')[0]
const secretKey = readFileSync(keyFile, 'utf8').trim()
const options = { audience: 'lab', issuer: 'sessreg', complete: true }

await test('a token of ours verifies with our public key, and says what was promised', async () => {
  const { payload, footer, version, purpose } = await V4.verify(token, publicKey, options)
  assert.equal(`${version}.${purpose}`, 'v4.public')
  assert.deepEqual(Object.keys(payload), ['iss', 'aud', 'sub', 'jti', 'iat', 'exp', 'slot'])
  assert.equal(payload.iss, 'sessreg')
  assert.equal(payload.aud, 'lab')
  assert.equal(payload.sub, 'alice')
  assert.match(payload.jti, /^[0-9a-f]{32}$/)
  assert.match(payload.iat, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/)
  assert.equal(Date.parse(payload.exp) - Date.parse(payload.iat), 3600_000)
  assert.ok(Math.abs(Date.now() - Date.parse(payload.iat)) < 60_000)
  assert.equal(payload.slot, 7)
  const named = JSON.parse(footer.toString())
  assert.deepEqual(Object.keys(named), ['kid'])
  assert.match(named.kid, /^k4\.pid\.[A-Za-z0-9_-]{44}$/)
  assert.equal(verify(token).out.kid, named.kid)
})

await test('any user name comes through', async () => {
  for (const user of ['Zoë', 'DOM\\bob', '"quoted"', 'a\nb\tc\x01\x7f', '\u{1f427}', 'x'.repeat(512)])
    assert.equal((await V4.verify(issue(user), publicKey, options)).payload.sub, user)
})

await test('the other implementation refuses another key, site, and a token out of its time', async () => {
  const other = (await V4.generateKey('public', { format: 'paserk' })).publicKey
  await assert.rejects(V4.verify(token, other, options))
  await assert.rejects(V4.verify(token, publicKey, { ...options, audience: 'default' }))
  await assert.rejects(V4.verify(token, publicKey, { ...options, assertion: 'x' }))
  const later = new Date(Date.now() + 3700_000)
  await assert.rejects(V4.verify(token, publicKey, { ...options, now: later }))
})

const { payload, footer } = decode(token)
const sign = (claims, key = secretKey, more = {}) =>
  V4.sign(claims, key, { iat: false, footer: footer.toString(), ...more })

await test('what it signs with our key and our claims is our token, byte by byte', async () => {
  assert.equal(await sign(payload), token)
  assert.equal(verify(token).code, 0)
})

await test('what it signs with another key is refused', async () => {
  const other = await V4.generateKey('public', { format: 'paserk' })
  assert.deepEqual(verify(await sign(payload, other.secretKey)), { code: 6, out: undefined, error: 'bad_signature' })
  assert.equal(verify(token, other.publicKey).error, 'unknown_key')
})

await test('what it signs with other claims is refused, each for its reason', async () => {
  const without = (name) => Object.fromEntries(Object.entries(payload).filter(([key]) => key !== name))
  for (const name of Object.keys(payload))
    assert.equal(verify(await sign(without(name))).error, 'bad_claims', name)
  const reason = async (changes) => verify(await sign({ ...payload, ...changes })).error
  assert.equal(await reason({ iss: 'other' }), 'other_issuer')
  assert.equal(await reason({ aud: 'default' }), 'other_site')
  assert.equal(await reason({ exp: payload.iat, iat: '2001-01-01T00:00:00Z' }), 'expired')
  assert.equal(await reason({ iat: '2998-01-01T00:00:00Z', exp: '2999-01-01T00:00:00Z' }), 'issued_in_future')
  assert.equal(await reason({ slot: '7' }), 'bad_claims')
  assert.equal(await reason({ slot: -1 }), 'bad_claims')
  assert.equal(await reason({ nbf: '2099-01-01T00:00:00Z' }), 'bad_claims')
  assert.equal(await reason({ iat: new Date().toISOString() }), 'bad_claims')
})

await test('what it signs with another footer or an implicit assertion is refused', async () => {
  assert.equal(verify(await sign(payload, secretKey, { footer: '' })).error, 'bad_footer')
  assert.equal(verify(await sign(payload, secretKey, { footer: '{"kid":"x"}' })).error, 'bad_footer')
  assert.equal(verify(await sign(payload, secretKey, { assertion: 'x' })).error, 'bad_signature')
})

await test('its tokens for another purpose or version are refused', async () => {
  const { V3 } = createRequire(join(NODE_MODULES, 'x'))('paseto')
  const local = await V3.encrypt(payload, await V3.generateKey('local'))
  assert.equal(verify(local).error, 'other_version_or_purpose')
})

process.exitCode = failed === 0 ? 0 : 1
