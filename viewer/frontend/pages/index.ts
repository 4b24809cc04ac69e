/** The pages by the name in `<body data-page>`. */
import { login } from "./login.ts";
import { portal } from "./portal.ts";
import { startRead } from "./read.ts";
import { report } from "./report.ts";
import { technician } from "./technician.ts";
import { startWorklist } from "./worklist.ts";

export const pages: Record<string, () => void> = {
  login,
  portal,
  read: startRead,
  report,
  technician,
  worklist: startWorklist,
};
