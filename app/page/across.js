/* across.js — the same text and component at every block of the model. */
import { element, note } from "./dom.js";
import { figure } from "./figures.js";
import { chart } from "./charts.js";

function bars(blocks, values, here) {
  return (c) => ({
    type: "bar",
    data: {
      labels: blocks,
      datasets: [
        {
          data: values,
          backgroundColor: values.map((v) => (v < 0 ? c.down : c.up)),
          borderColor: c.ink,
          borderWidth: blocks.map((b) => (b === here ? 2 : 0))
        }
      ]
    },
    options: {
      plugins: {
        legend: { display: false },
        tooltip: {
          callbacks: { title: ([t]) => `block ${t.label}`, label: (t) => figure(t.raw, 3) }
        }
      },
      scales: {
        x: { title: { display: true, text: "block" }, grid: { display: false } },
        y: { title: { display: true, text: "activation" } }
      }
    }
  });
}

/* Fills `into` with the activation of ids at all blocks; here: the block of the feature. */
export async function showAcross(source, model, feature, ids, here, into) {
  into.replaceChildren(note("Asking every block …"));
  try {
    const { blocks, values } = await source.across({ model, feature, ids });
    const drawing = chart(
      bars(blocks, values, here),
      `activation from block ${blocks[0]} to ${blocks.at(-1)}`
    );
    into.replaceChildren(
      drawing.node,
      element(
        "p",
        { class: "quiet" },
        `Orange above zero, blue below; block ${here} is outlined. A component's number means nothing in common between blocks but the residual stream's own axis.`
      )
    );
    await drawing.draw();
  } catch (e) {
    into.replaceChildren(note(e.message));
  }
}
