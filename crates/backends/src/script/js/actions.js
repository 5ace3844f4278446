// Actions in the forms of Actionhero: `run(api, data, next)`, `run(data)`, and classes.
(function ({ host, log, message, failure, success, finish, read, session, enter }) {
  class Action {}
  const byName = new Map();

  function collect(exports) {
    const candidates = typeof exports.run === 'function' ? [exports] : Object.values(exports);
    if (typeof exports === 'function') candidates.unshift(exports);
    const infos = [];
    for (let action of candidates) {
      if (typeof action === 'function' && typeof action.prototype?.run === 'function') action = new action();
      if (action === null || typeof action !== 'object' || typeof action.run !== 'function') continue;
      if (typeof action.name !== 'string' || action.name === '') throw new TypeError('an action has no name');
      const version = Number(action.version ?? 1);
      if (!Number.isInteger(version) || version < 0 || version > 4294967295)
        throw new TypeError(`the version of the action ${action.name} is no whole number`);
      const inputs = Object.entries(action.inputs ?? {}).map(([name, input]) => [name, input ?? {}]);
      const simple = inputs.every(([, { default: value, formatter, validator }]) =>
        typeof value !== 'function' && !formatter && !validator);
      const versions = byName.get(action.name) ?? new Map();
      byName.set(action.name, versions);
      if (versions.has(version)) throw new TypeError(`the action ${action.name} is there twice in version ${version}`);
      versions.set(version, { action, inputs, simple });
      infos.push({ name: action.name, version, description: String(action.description ?? action.name),
        outputExample: action.outputExample ?? {},
        inputs: inputs.map(([name, input]) => ({ name, required: input.required === true,
          default: typeof input.default === 'function' ? undefined : input.default,
          has_formatter: Boolean(input.formatter), has_validator: Boolean(input.validator) })) });
    }
    return infos;
  }

  const all = (functions) => functions === undefined || functions === null ? [] : [].concat(functions);
  const isMissing = (value) => value === undefined || value === null || value === '';

  class Refusal { constructor(text) { this.text = text; } }

  function simpleInputs(inputs, given) {
    const params = {};
    inputs.forEach(([name, input], position) => {
      let value = Array.isArray(given) ? given[position] : given[name];
      if (value === undefined) value = input.default;
      if (input.required === true && isMissing(value)) throw new Refusal('P' + name);
      if (value !== undefined) params[name] = value;
    });
    return params;
  }

  async function checkedInputs(action, inputs, given) {
    const params = {};
    let refusal;
    for (const [position, [name, input]] of inputs.entries()) {
      let value = Array.isArray(given) ? given[position] : given[name];
      if (value === undefined) value = typeof input.default === 'function' ? await input.default.call(action, params) : input.default;
      if (value !== undefined && value !== null)
        for (const formatter of all(input.formatter)) value = await formatter.call(action, value);
      if (input.required === true && isMissing(value)) throw new Refusal('P' + name);
      if (refusal === undefined && value !== undefined)
        for (const validator of all(input.validator)) {
          let said;
          try { said = await validator.call(action, value); } catch (error) { said = message(error); }
          if (said === false) said = `Input for parameter "${name}" failed validation!`;
          if (said !== true && said !== undefined && said !== null) { refusal = message(said); break; }
        }
      if (value !== undefined) params[name] = value;
    }
    if (refusal !== undefined) throw new Refusal('-' + refusal);
    return params;
  }

  const api = { log: (text, level) => (log[level] ?? log.info)(text), cache: null };

  function run(id, { action }, params, key, who) {
    // A server that calls has neither.
    const connection = { id: who || null, params, response: {}, session: session(key) ?? null };
    const data = { params, response: connection.response, connection, action: action.name };
    if (action.run.length < 2) {
      return finish(id, action.run(data), (value) => success(value === undefined ? data.response : value));
    }
    let settled, waits = false;
    const next = (error, toRender) => {
      if (settled !== undefined) return;
      if (error === data || error === connection) error = null;
      settled = error ? failure(error) : toRender === false ? 'N' : success(data.response);
      if (waits) host.settle(id, settled);
    };
    const returned = action.run.length === 2 ? action.run(data, next) : action.run(api, data, next);
    if (returned && typeof returned.then === 'function') returned.then(undefined, next);
    waits = true;
    return settled;
  }

  const refused = (error) => error instanceof Refusal ? error.text : failure(error);

  function act(id, key, name, version, args, hasBinary, who) {
    enter(id);
    const versions = byName.get(name);
    if (!versions) return 'U';
    try {
      version = version === '' ? null : JSON.parse(version);
      const wanted = version ? Number(version) : Math.max(...versions.keys());
      const found = versions.get(wanted);
      if (!found) return 'U';
      const given = read(args, hasBinary);
      if (found.simple) return run(id, found, simpleInputs(found.inputs, given), key, who);
      checkedInputs(found.action, found.inputs, given).then((params) => {
        const now = run(id, found, params, key, who);
        if (now !== undefined) host.settle(id, now);
      }).catch((error) => host.settle(id, refused(error)));
    } catch (error) {
      return refused(error);
    }
  }

  return { collect, act, Action, api };
})
