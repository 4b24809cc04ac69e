/** Under the name: how this site's devices will show it in their worklists; loud only where one cannot. */
import { t } from "../i18n.ts";
import { server } from "../server.ts";
import { byId, fill, h, icon } from "../ui/h.ts";

interface Shown {
  ae_title: string;
  device: string;
  name: string;
  is_spelled: boolean;
}

let asked = 0;

export async function showDeviceNames(name: string, modality: string): Promise<void> {
  const place = byId("device-names");
  const mine = ++asked;
  if (!name) {
    place.hidden = true;
    return;
  }
  const { devices } = await server.post<{ devices: Shown[] }>("/api/orders/shown", { name, modality });
  if (mine !== asked) return;
  place.hidden = devices.length === 0;
  fill(place, h("span", {}, t("page.tech.devices_show")), ...devices.map((one) => h("span", { class: one.is_spelled ? "device-name amber" : "device-name", title: one.is_spelled ? t("page.tech.device_spelled") : null },
    one.is_spelled && icon("alert", 13), h("span", {}, one.device), h("b", {}, one.name))));
}
