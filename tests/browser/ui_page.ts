/** A page with the building blocks alone: the test opens dialogs and listens to the stream through them. */
import { server } from "../../viewer/frontend/server.ts";
import { askReason, openDialog, field } from "../../viewer/frontend/ui/dialog.ts";
import { h } from "../../viewer/frontend/ui/h.ts";
import { Live, type LiveMessage } from "../../viewer/frontend/ui/live.ts";
import { installRelogin } from "../../viewer/frontend/ui/relogin.ts";
import { toast } from "../../viewer/frontend/ui/toast.ts";

document.body.append(h("button", { id: "before", type: "button" }, "before"), h("div", { id: "toasts" }), h("div", { id: "dialogs" }));
document.head.append(h("meta", { name: "csrf-token", content: "old" }));
Object.assign(document.body.dataset, { username: "radiologist", name: "陈知远" });

const heard: LiveMessage[] = [];
const live = new Live(server);
live.subscribe((message) => heard.push(message));
installRelogin(server);
Object.assign(window, { askReason, field, h, heard, live, openDialog, server, toast });
if (location.hash === "#live") live.start();
