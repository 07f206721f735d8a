// Does what the buttons say, through the same API that everybody has.

import { refresh } from "./helios.js";

const KEPT = "helios-token";
const dialog = document.getElementById("ask");
const field = dialog.querySelector("input");

/** Ask the reader for something; null if they would rather not say. */
function ask(what, type) {
  dialog.querySelector("#asked").textContent = what;
  Object.assign(field, { type, value: "", maxLength: type === "text" ? Number(dialog.dataset.longest) : 1000 });
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue ? field.value : null), { once: true });
  });
}

/** Send a request that acts; where a token is needed it is asked for once, and kept until the tab is closed. */
async function post(path, body) {
  let said = "This needs the token of this agent.";
  for (;;) {
    const token = sessionStorage.getItem(KEPT);
    // In its default mode a request says where it comes from, whatever the referrer policy.
    const answer = await fetch(path, {
      method: "POST",
      headers: { "content-type": "application/json", ...(token && { authorization: `Bearer ${token}` }) },
      body: JSON.stringify(body),
    });
    if (answer.status !== 401) return answer;
    if (token) said = "That token was not accepted. This needs the token of this agent.";
    sessionStorage.removeItem(KEPT);
    const given = await ask(said, "password");
    if (given === null) return null;
    sessionStorage.setItem(KEPT, given);
  }
}

async function act(button) {
  const body = {};
  if ("reason" in button.dataset) {
    body.reason = await ask("Why is it not to be done?", "text");
    if (body.reason === null) return;
  }
  button.closest("section").querySelector(".refused")?.remove();
  let refused = null;
  try {
    const answer = await post(button.dataset.post, body);
    const said = answer && (await answer.json());
    if (answer && !answer.ok) refused = said.detail;
  } catch {
    refused = "Helios did not answer; nothing is known to have been done.";
  }
  if (refused === null) return refresh();
  const told = document.createElement("p");
  told.className = "warning refused";
  told.setAttribute("role", "alert");
  told.textContent = typeof refused === "string" ? refused : JSON.stringify(refused);
  button.closest("section").append(told);
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest("button[data-post]");
  if (!button || button.ariaDisabled) return;
  button.ariaDisabled = "true"; // disabled, it would lose the focus
  await act(button);
  button.ariaDisabled = null;
});
