// Draws each chart anew when it comes near the window, so that it answers to the pointer.
// A chart that cannot be drawn keeps its still picture.
(() => {
  "use strict";
  const options = {
    renderer: "svg",
    actions: {export: true, source: false, compiled: false, editor: false},
  };
  const draw = async (chart) => {
    const live = document.createElement("div");
    live.className = "live";
    chart.append(live);
    try {
      const spec = JSON.parse(chart.querySelector("script").textContent);
      await vegaEmbed(live, spec, {...options, downloadFileName: chart.dataset.name});
      chart.classList.add("drawn");
    } catch (error) {
      live.remove();
      throw error;
    }
  };
  const near = new IntersectionObserver((entries) => {
    for (const entry of entries.filter((one) => one.isIntersecting)) {
      near.unobserve(entry.target);
      draw(entry.target);
    }
  }, {rootMargin: "300px"});
  document.querySelectorAll(".chart").forEach((chart) => near.observe(chart));
})();
