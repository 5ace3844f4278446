// Two actions as Actionhero has them: the older form with a callback, and the newer one with a promise.

exports.reverse = {
  name: 'reverse',
  description: 'I turn a text around',
  inputs: {
    text: {
      required: true,
      formatter: (text) => String(text),
      validator: (text) => text.length <= 1000 || 'text is too long',
    },
  },
  outputExample: { reversed: 'cba' },
  run(api, data, next) {
    data.response.reversed = [...data.params.text].reverse().join('');
    next();
  },
};

exports.addition = {
  name: 'addition',
  description: 'I add two numbers',
  inputs: {
    a: { required: true, formatter: Number, validator: (a) => !Number.isNaN(a) || 'a is no number' },
    b: { default: 1, formatter: Number },
  },
  outputExample: { sum: 3 },
  async run({ params }) {
    return { sum: params.a + params.b };
  },
};
