// Puts a button beside each shortened address or hash that copies the whole of it. Without scripts its tooltip has it.

const status = document.createElement("p");
status.className = "visually-hidden";
status.setAttribute("role", "status");
document.body.append(status);

async function copy(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  // Browsers keep the clipboard from pages without TLS, but for what is selected.
  const field = document.createElement("textarea");
  field.className = "visually-hidden";
  field.value = text;
  document.body.append(field);
  field.select();
  const isDone = document.execCommand("copy");
  field.remove();
  if (!isDone) throw new Error("the browser copies nothing here");
}

function copyButton(text) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "copy";
  button.title = `Copy ${text}`;
  button.setAttribute("aria-label", button.title);
  button.addEventListener("click", async () => {
    const isCopied = await copy(text).then(() => true, () => false);
    button.focus();
    button.classList.toggle("copied", isCopied);
    status.textContent = isCopied ? "Copied." : `The browser refuses to copy ${text}`;
    setTimeout(() => { button.classList.remove("copied"); status.textContent = ""; }, 2000);
  });
  return button;
}

for (const shown of document.querySelectorAll(".shortened[title]")) {
  const target = shown.closest("a") ?? shown;
  const both = document.createElement("span"); // which no line ends between
  both.className = "copyable";
  target.replaceWith(both);
  both.append(target, copyButton(shown.title));
}
