// Ids that llama.cpp gives for an array of strings, one line a text, without BOS. Text stays text unless SPECIAL is 1.
//   node llamacpp_ids.mjs MODEL.gguf TEXTS.json OUT.ids [SPECIAL]
// Run beside the npm package node-llama-cpp 3.22.1 (llama.cpp v0.5.0), as shared/oracle/README.md says.
import { readFileSync, writeFileSync } from "node:fs";
import { getLlama } from "node-llama-cpp";
const [path, texts, out, special] = process.argv.slice(2);
const llama = await getLlama({ gpu: false, build: "never", logLevel: "disabled" });
const model = await llama.loadModel({ modelPath: path, vocabOnly: true });
const lines = ["# ref/llamacpp_ids.mjs (llama.cpp v0.5.0)"];
for (const text of JSON.parse(readFileSync(texts, "utf8"))) lines.push(model.tokenize(text, special === "1").join(" "));
writeFileSync(out, lines.join("\n") + "\n");
process.exit(0);
