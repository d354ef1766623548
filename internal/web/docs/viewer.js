// Draws OpenAPI 3.1 documents. Everything is made with createElement and text nodes, so a description cannot run code.
'use strict';

const methods = ['get', 'post', 'put', 'patch', 'delete', 'head'];
const byId = (id) => document.getElementById(id);

function el(tag, attributes, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (name.startsWith('on')) node.addEventListener(name.slice(2), value);
    else if (value !== undefined && value !== false) node.setAttribute(name, value === true ? '' : value);
  }
  node.append(...children.flat(9).filter((c) => c !== undefined && c !== null && c !== ''));
  return node;
}

// prose knows paragraphs, lists of one level, `code`, and links: what descriptions here are written in.
function prose(text) {
  if (!text) return [];
  const inline = (s) => s.split(/(`[^`]+`|\[[^\]]+\]\([^)\s]+\)|\*\*[^*]+\*\*)/).map((part) => {
    const link = /^\[([^\]]+)\]\((https?:[^)]+|[/#][^)]*)\)$/.exec(part);
    if (link) return el('a', { href: link[2], rel: 'noreferrer' }, link[1]);
    if (part.length > 2 && part.startsWith('`')) return el('code', null, part.slice(1, -1));
    if (part.length > 4 && part.startsWith('**')) return el('strong', null, part.slice(2, -2));
    return part;
  });
  return text.trim().split(/\n\s*\n/).map((block) => {
    const lines = block.split('\n');
    // An item may go on in lines that are indented.
    if (/^[-*] /.test(lines[0]) && lines.every((l) => /^([-*]|\s) */.test(l))) {
      const items = block.split(/\n(?=[-*] )/).map((item) => item.replace(/^[-*] /, '').replace(/\n\s+/g, ' '));
      return el('ul', null, items.map((item) => el('li', null, inline(item))));
    }
    return el('p', null, inline(block));
  });
}

// resolve follows local references; what it finds knows its own name.
function resolve(spec, node) {
  for (let i = 0; node && node.$ref && i < 20; i++) {
    const path = node.$ref.replace(/^#\//, '').split('/').map((p) => decodeURIComponent(p).replaceAll('~1', '/').replaceAll('~0', '~'));
    const found = path.reduce((at, key) => (at === undefined ? undefined : at[key]), spec);
    node = found && { ...found, 'x-name': path.at(-1) };
  }
  return node || {};
}

function typeOf(spec, schema) {
  const s = resolve(spec, schema);
  const alternatives = s.oneOf || s.anyOf;
  if (alternatives) return alternatives.map((a) => typeOf(spec, a)).join(' | ');
  if (s.const !== undefined) return JSON.stringify(s.const);
  let type = Array.isArray(s.type) ? s.type.join(' | ') : s.type || (s.properties || s.allOf ? 'object' : s.enum ? 'string' : 'anything');
  if (type === 'array') type = 'list of ' + typeOf(spec, s.items || {});
  return s.format ? `${type} (${s.format})` : type;
}

function bounds(s) {
  const words = [];
  const say = (key, text) => { if (s[key] !== undefined) words.push(text + ' ' + s[key]); };
  say('minimum', 'from'); say('maximum', 'to'); say('minLength', 'at least'); say('maxLength', 'at most');
  say('minItems', 'items from'); say('maxItems', 'items to'); say('pattern', 'pattern');
  if (s.default !== undefined) words.push('default ' + JSON.stringify(s.default));
  if (s.enum) words.push('one of ' + s.enum.map((v) => JSON.stringify(v)).join(', '));
  return words.join(' · ');
}

// fields are the properties of an object, those of all its parts together.
function fields(spec, schema) {
  const s = resolve(spec, schema);
  const all = { properties: { ...s.properties }, required: [...(s.required || [])] };
  for (const part of s.allOf || []) {
    const inner = fields(spec, part);
    Object.assign(all.properties, inner.properties);
    all.required.push(...inner.required);
  }
  return all;
}

function drawSchema(spec, schema, depth = 0) {
  const s = resolve(spec, schema);
  if (depth > 8) return [];
  const parts = [];
  for (const choice of s.oneOf || s.anyOf || []) {
    const c = resolve(spec, choice);
    parts.push(el('details', null, el('summary', null, 'either ', el('code', null, c.title || c['x-name'] || typeOf(spec, c))), drawSchema(spec, c, depth + 1)));
  }
  if (s.type === 'array' && s.items) parts.push(...drawSchema(spec, s.items, depth + 1));
  const { properties, required } = fields(spec, s);
  const names = Object.keys(properties);
  if (names.length) {
    parts.push(el('ul', { class: 'schema' }, names.map((name) => {
      const p = resolve(spec, properties[name]);
      const head = [el('code', null, name), ' ', el('span', { class: 'soft' }, typeOf(spec, p)), required.includes(name) ? el('span', { class: 'needed' }, ' needed') : ''];
      const inner = drawSchema(spec, p, depth + 1);
      return el('li', null, inner.length ? el('details', { open: depth < 1 }, el('summary', null, head), inner) : head, prose(p.description), bounds(p) && el('p', null, bounds(p)));
    })));
  }
  return parts;
}

function example(spec, schema, depth = 0) {
  const s = resolve(spec, schema);
  if (s.example !== undefined) return s.example;
  if (s.examples?.length) return s.examples[0];
  if (s.default !== undefined) return s.default;
  if (s.const !== undefined) return s.const;
  if (s.enum) return s.enum[0];
  if (depth > 6) return null;
  if (s.oneOf || s.anyOf) return example(spec, (s.oneOf || s.anyOf)[0], depth + 1);
  const type = Array.isArray(s.type) ? s.type[0] : s.type;
  if (type === 'array') return [example(spec, s.items || {}, depth + 1)];
  if (type === 'integer' || type === 'number') return s.minimum ?? 0;
  if (type === 'boolean') return false;
  if (type === 'string') return { 'date-time': '2026-01-02T15:04:05Z', uuid: '0190b5a4-7f3e-7c2a-9d55-0c7d3f1f6e21' }[s.format] || '';
  return Object.fromEntries(Object.entries(fields(spec, s).properties).map(([name, p]) => [name, example(spec, p, depth + 1)]));
}

function drawParameters(spec, parameters) {
  if (!parameters.length) return [];
  const rows = parameters.map((p) => el('tr', null,
    el('td', null, el('code', null, p.name), p.required ? el('div', { class: 'needed' }, 'needed') : ''), el('td', { class: 'soft' }, p.in),
    el('td', null, typeOf(spec, p.schema || {})), el('td', null, prose(p.description), el('span', { class: 'soft' }, bounds(resolve(spec, p.schema || {}))))));
  return [el('h3', null, 'Parameters'), el('div', { class: 'scroll' }, el('table', null,
    el('thead', null, el('tr', null, ['Name', 'In', 'Type', 'Meaning'].map((h) => el('th', { scope: 'col' }, h)))), el('tbody', null, rows)))];
}

function drawContent(spec, content) {
  return Object.entries(content || {}).map(([type, media]) => {
    const schema = media.schema || {};
    const drawn = drawSchema(spec, schema);
    return el('div', null, el('p', null, el('code', null, type), ' ', el('span', { class: 'soft' }, resolve(spec, schema)['x-name'] || typeOf(spec, schema))), drawn);
  });
}

function drawTry(spec, method, path, parameters, body) {
  const inputs = parameters.filter((p) => p.in !== 'cookie').map((p) => {
    const input = el('input', { placeholder: p.example ?? typeOf(spec, p.schema || {}), autocomplete: 'off', 'aria-label': p.name });
    return { p, input, label: el('label', null, `${p.name} (${p.in})`, input) };
  });
  const type = body && (Object.keys(body.content || {}).find((t) => t.includes('json')) || Object.keys(body.content || {})[0]);
  let text; let file; let bodyInput = '';
  if (type?.includes('json')) {
    text = el('textarea', { spellcheck: 'false', 'aria-label': 'body' });
    text.value = JSON.stringify(example(spec, body.content[type].schema || {}), null, 2);
    bodyInput = el('label', null, 'body', text);
  } else if (type) {
    file = el('input', { type: 'file', 'aria-label': 'file' });
    bodyInput = el('label', null, 'file', file);
  }
  const out = el('pre', { hidden: true, 'aria-live': 'polite' });
  const send = async () => {
    let url = path;
    const query = new URLSearchParams();
    const headers = new Headers();
    for (const { p, input } of inputs) {
      if (p.in === 'path') url = url.replace(`{${p.name}}`, encodeURIComponent(input.value));
      else if (input.value !== '' && p.in === 'query') query.append(p.name, input.value);
      else if (input.value !== '' && p.in === 'header') headers.set(p.name, input.value);
    }
    if (byId('token').value) headers.set('Authorization', 'Bearer ' + byId('token').value);
    let payload;
    if (text) { payload = text.value; headers.set('Content-Type', type); }
    if (file?.files[0] && type.startsWith('multipart/')) { payload = new FormData(); payload.append('file', file.files[0]); }
    else if (file?.files[0]) {
      payload = file.files[0];
      headers.set('Content-Type', payload.type || 'application/octet-stream');
      headers.set('Content-Disposition', `attachment; filename*=UTF-8''${encodeURIComponent(payload.name)}`);
    }
    out.hidden = false;
    out.textContent = '…';
    const stop = new AbortController();
    const timer = setTimeout(() => stop.abort(), 15000);
    try {
      const res = await fetch(url + (query.size ? '?' + query : ''), { method: method.toUpperCase(), headers, body: payload, signal: stop.signal });
      const kind = res.headers.get('content-type') || '';
      const head = `${res.status} ${res.statusText}\n` + [...res.headers].map(([n, v]) => `${n}: ${v}`).join('\n') + '\n\n';
      let shown;
      if (/json/.test(kind) && !/ndjson/.test(kind)) shown = JSON.stringify(await res.json(), null, 2);
      else if (/text|ndjson|csv/.test(kind) && !/event-stream/.test(kind)) shown = (await res.text()).slice(0, 100000);
      else { shown = '(' + (kind || 'no body') + ')'; res.body?.cancel(); }
      out.textContent = head + shown;
    } catch (problem) {
      out.textContent = stop.signal.aborted ? 'no answer within 15 s' : String(problem);
    } finally {
      clearTimeout(timer);
    }
  };
  return el('details', { class: 'try' }, el('summary', null, 'Try it'), inputs.map((i) => i.label), bodyInput, el('button', { type: 'button', onclick: send }, 'Send'), out);
}

function drawOperation(spec, method, path, shared, op) {
  const parameters = [...(shared || []), ...(op.parameters || [])].map((p) => resolve(spec, p));
  const body = op.requestBody && resolve(spec, op.requestBody);
  const id = 'op-' + (op.operationId || method + path.replace(/[^a-z0-9]+/gi, '-'));
  const responses = Object.entries(op.responses || {}).map(([status, response]) => {
    const r = resolve(spec, response);
    return el('details', null, el('summary', null, el('code', null, status), ' ', el('span', { class: 'soft' }, r.description || '')), drawContent(spec, r.content));
  });
  const details = el('details', { class: 'op', id },
    el('summary', null, el('span', { class: 'method ' + method }, method.toUpperCase()), el('span', { class: 'path' }, path), el('span', { class: 'soft' }, op.summary || '')));
  // Drawn when first opened: a page of a hundred operations should be there at once.
  details.addEventListener('toggle', () => {
    if (!details.open || details.childElementCount > 1) return;
    details.append(el('div', null, prose(op.description), drawParameters(spec, parameters),
      body ? [el('h3', null, 'Body'), prose(body.description), drawContent(spec, body.content)] : [],
      el('h3', null, 'Answers'), responses, drawTry(spec, method, path, parameters, body)));
  });
  const link = el('a', { href: '#' + id, onclick: () => { details.open = true; } }, el('span', { class: 'method ' + method }, method.toUpperCase()), path);
  const words = [method, path, op.summary, op.description, op.operationId].join(' ').toLowerCase();
  return { details, link, words };
}

function drawSpec(spec) {
  const groups = new Map((spec.tags || []).map((t) => [t.name, { about: t.description, ops: [] }]));
  for (const [path, item] of Object.entries(spec.paths || {})) {
    for (const method of methods.filter((m) => item[m])) {
      const tag = item[method].tags?.[0] || 'other';
      if (!groups.has(tag)) groups.set(tag, { ops: [] });
      groups.get(tag).ops.push(drawOperation(spec, method, path, item.parameters, item[method]));
    }
  }
  byId('main').append(el('section', null, el('h2', null, spec.info?.title || 'API', ' ', el('small', { class: 'soft' }, spec.info?.version || '')), prose(spec.info?.description)));
  const all = [];
  for (const [tag, { about, ops }] of groups) {
    if (!ops.length) continue;
    const section = el('section', null, el('h2', null, tag), prose(about), ops.map((o) => o.details));
    const menu = el('div', null, el('h2', null, tag), ops.map((o) => o.link));
    byId('main').append(section);
    byId('nav').append(menu);
    all.push({ section, menu, ops });
  }
  return all;
}

async function start() {
  const groups = [];
  const problems = [];
  for (const url of JSON.parse(document.documentElement.dataset.specs)) {
    try {
      const res = await fetch(url);
      if (!res.ok) throw new Error(`${res.status} ${res.statusText}`);
      groups.push(...drawSpec(await res.json()));
    } catch (problem) {
      problems.push(`${url}: ${problem.message}`);
    }
  }
  byId('status').textContent = problems.join('; ');
  byId('status').hidden = problems.length === 0;
  byId('find').addEventListener('input', (event) => {
    const wanted = event.target.value.toLowerCase().trim();
    for (const { section, menu, ops } of groups) {
      for (const o of ops) o.details.hidden = o.link.hidden = !o.words.includes(wanted);
      section.hidden = menu.hidden = ops.every((o) => o.link.hidden);
    }
  });
  const open = () => {
    const target = location.hash && byId(decodeURIComponent(location.hash.slice(1)));
    if (target?.classList.contains('op')) { target.open = true; target.scrollIntoView(); }
  };
  window.addEventListener('hashchange', open);
  open();
}

start();
