// The question before something ends.

import { Component, createRef, html } from './parts.js'

export class Question extends Component {
  dialog = createRef()

  componentDidMount() {
    // The browser keeps the focus inside, and gives it back to where it was.
    this.dialog.current.showModal()
  }

  render({ store, question }) {
    const answer = (isYes) => {
      this.dialog.current.close()
      store.answer(isYes)
    }
    const cancelled = (event) => {
      event.preventDefault()
      answer(false)
    }
    return html`
      <dialog ref=${this.dialog} aria-labelledby="question-title" aria-describedby="question-text" onCancel=${cancelled}>
        <h2 id="question-title">${question.title}</h2>
        <p id="question-text">${question.text}</p>
        <div class="buttons">
          <button type="button" class="danger" onClick=${() => answer(true)}>${question.verb}</button>
          <button type="button" onClick=${() => answer(false)}>Cancel</button>
        </div>
      </dialog>
    `
  }
}
