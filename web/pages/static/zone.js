// Offers every time zone that the browser knows, and whoever registers finds the one filled in that it is in.
"use strict";
(function () {
  const field = document.getElementById("zone");
  if (!field) return;
  const here = Intl.DateTimeFormat().resolvedOptions().timeZone;
  if (here && field.value === "UTC" && field.form.getAttribute("action") === "/register") field.value = here;
  if (!Intl.supportedValuesOf) return;
  const zones = document.createElement("datalist");
  zones.id = "zones";
  for (const zone of Intl.supportedValuesOf("timeZone")) zones.append(new Option(zone, zone));
  field.after(zones);
  field.setAttribute("list", zones.id);
})();
