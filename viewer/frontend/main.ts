/** Starts the page named by `<body data-page="…">`; a page without a name needs no script. */
import { pages } from "./pages/index.ts";

const start = pages[document.body.dataset["page"] ?? ""];
if (start) start();
