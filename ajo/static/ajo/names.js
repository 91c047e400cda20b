// Django's two boxes of choices give names to elements that may have none: axe-core's aria-prohibited-attr.

addEventListener("load", () => setTimeout(() => {
  for (const icon of document.querySelectorAll(".selector .search-label-icon")) icon.setAttribute("role", "img");
}));
