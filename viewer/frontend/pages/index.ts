/** The pages by the name in `<body data-page>`. */
import { login } from "./login.ts";
import { portal } from "./portal.ts";
import { report } from "./report.ts";
import { technician } from "./technician.ts";

export const pages: Record<string, () => void> = {
  login,
  portal,
  report,
  technician,
};
