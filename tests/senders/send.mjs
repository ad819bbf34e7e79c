// Signs a delivery with the library that GitHub publishes, or with that of Standard Webhooks, and sends it.
// Standard input: {url, body (a file), secret, scheme: "github" | "standard", form, headers, cut: bytes to send}. Prints {status, text}.
import { readFileSync } from "node:fs";
import { sign } from "@octokit/webhooks-methods";
import { Webhook } from "standardwebhooks";

const order = JSON.parse(readFileSync(0, "utf8"));
let body = readFileSync(order.body, "utf8");
const headers = { "Content-Type": "application/json", ...order.headers };
if (order.form) {
  body = new URLSearchParams({ payload: body }).toString();
  headers["Content-Type"] = "application/x-www-form-urlencoded";
}
if (order.scheme === "github") {
  // GitHub signs what it sends, be it JSON or a form.
  headers["X-Hub-Signature-256"] = await sign(order.secret, body);
} else {
  const now = new Date();
  headers["webhook-timestamp"] = Math.floor(now / 1000).toString();
  headers["webhook-signature"] = new Webhook(order.secret).sign(headers["webhook-id"], now, body);
}
const answer = await fetch(order.url, { method: "POST", headers, body: body.slice(0, order.cut) });
console.log(JSON.stringify({ status: answer.status, text: await answer.text() }));
