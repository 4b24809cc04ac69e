/** The pages by the name in `<body data-page>`. */
import { admin } from "./admin.ts";
import { login } from "./login.ts";
import { portal } from "./portal.ts";
import { startRead } from "./read.ts";
import { report } from "./report.ts";
import { statistics } from "./statistics.ts";
import { technician } from "./technician.ts";
import { startWorklist } from "./worklist.ts";

export const pages: Record<string, () => void> = {
  admin,
  login,
  portal,
  read: startRead,
  report,
  statistics,
  technician,
  worklist: startWorklist,
};
