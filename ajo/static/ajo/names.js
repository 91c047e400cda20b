// Names for what has none.

// On a telephone each row of a list is a card: its cells say what their columns are called.
for (const cell of document.querySelectorAll("#result_list tbody :is(th, td)")) {
  const [field] = [...cell.classList].filter((name) => name.startsWith("field-"));
  const column = field && document.querySelector(`#result_list .${field.replace("field-", "column-")}`);
  if (column) cell.dataset.column = column.textContent.trim();
}

// Django's two boxes of choices name elements that may have no name, as they have no role.
addEventListener("load", () => setTimeout(() => {
  for (const icon of document.querySelectorAll(".selector .search-label-icon")) icon.setAttribute("role", "img");
}));
