/** The pages by the name in `<body data-page>`. */
import { admin } from "./admin.ts";
import { audit } from "./admin_audit.ts";
import { persons } from "./admin_persons.ts";
import { repair } from "./admin_repair.ts";
import { login } from "./login.ts";
import { portal } from "./portal.ts";
import { startRead } from "./read.ts";
import { report } from "./report.ts";
import { statistics } from "./statistics.ts";
import { technician } from "./technician.ts";
import { startWorklist } from "./worklist.ts";

export const pages: Record<string, () => void> = {
  admin,
  audit,
  login,
  persons,
  portal,
  read: startRead,
  repair,
  report,
  statistics,
  technician,
  worklist: startWorklist,
};
