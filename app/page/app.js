const reply = await fetch("/api/models");
document.querySelector("#main").textContent = JSON.stringify(await reply.json(), null, 1);
